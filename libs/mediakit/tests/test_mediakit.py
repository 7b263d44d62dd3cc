"""Files as people and models really make them: what viewers show is taken, what is broken is refused."""

from __future__ import annotations

import io
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mediakit.check import check_file
from mediakit.errors import MediaError, Problem
from mediakit.formats import HEAD, Kind, by_content, describe, sniff
from mediakit.formats import M4A as M4A_FORMAT
from mediakit.formats import MP4 as MP4_FORMAT
from mediakit.pictures import open_small
from mediakit.structure import is_faststart


def photo(size: tuple[int, int] = (320, 200)) -> Image.Image:
    """A picture with something to see in every part."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8), "RGB")


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    into = io.BytesIO()
    image.save(into, form, **options)
    return into.getvalue()


def with_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(photo(), "JPEG", exif=exif)


def png_with_damaged_comment() -> bytes:
    text = PngInfo()
    text.add_text("Comment", "made by a program that counts wrong")
    data = saved(photo(), "PNG", pnginfo=text)
    at = data.index(b"tEXt")
    end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
    return data[:end] + bytes(byte ^ 0xFF for byte in data[end : end + 4]) + data[end + 4 :]


def png_with_damaged_pixels() -> bytes:
    data = saved(photo(), "PNG")
    at = data.index(b"IDAT") + 4  # the head of the compressed stream
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def png_with_a_text_bomb() -> bytes:
    """A comment that unpacks to 80 MB. Pillow refuses the whole picture for it."""
    data = saved(photo(), "PNG")
    body = b"Comment\0\0" + zlib.compress(bytes(80_000_000), 9)
    name = b"zTXt" + body
    chunk = len(body).to_bytes(4, "big") + name + zlib.crc32(name).to_bytes(4, "big")
    return data[:33] + chunk + data[33:]


def jpeg_with_preview() -> bytes:
    return saved(photo(), "MPO", save_all=True, append_images=[photo((160, 100))])


def film(tmp: Path, *arguments: str, name: str = "film.mp4") -> bytes:
    path = tmp / name
    subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi"),
            *("-i", "testsrc=size=320x180:rate=25:duration=1", "-pix_fmt", "yuv420p", *arguments, str(path)),
        ],
        check=True,
    )
    return path.read_bytes()


def wav(length: int, samples: int = 2960) -> bytes:
    """A second of sound whose header says `length` for the file."""
    sound = (np.sin(np.arange(samples) / 8) * 20000).astype("<i2").tobytes()
    form = (1).to_bytes(2, "little") * 2 + (8000).to_bytes(4, "little") + (16000).to_bytes(4, "little")
    form += (2).to_bytes(2, "little") + (16).to_bytes(2, "little")
    data = max(length - 36, 0).to_bytes(4, "little") if length != 0xFFFFFFFF else b"\xff" * 4
    return (
        b"RIFF" + length.to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little") + form + b"data"
    ) + (data + sound)


def checked(tmp: Path, data: bytes) -> tuple[Kind, int, int]:
    path = tmp / "file"
    path.write_bytes(data)
    found = sniff(data[:HEAD])
    assert found is not None
    facts = check_file(path, found)
    return facts.kind, facts.width, facts.height


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda: saved(photo(), "JPEG"), (320, 200)),
        (lambda: saved(photo(), "PNG"), (320, 200)),
        (lambda: saved(photo(), "WEBP"), (320, 200)),
        (lambda: saved(photo(), "GIF"), (320, 200)),
        (lambda: saved(photo().convert("CMYK"), "JPEG"), (320, 200)),
        (lambda: with_exif(6), (200, 320)),
        (lambda: with_exif(3), (320, 200)),
        (png_with_damaged_comment, (320, 200)),
        (png_with_a_text_bomb, (320, 200)),
        (jpeg_with_preview, (320, 200)),
        (lambda: jpeg_with_preview()[:-500], (320, 200)),
        (lambda: saved(photo(), "JPEG")[:-2], (320, 200)),
        (lambda: saved(photo(), "JPEG") + b"a motion photo's film", (320, 200)),
    ],
    ids=[
        *("jpeg", "png", "webp", "gif", "cmyk", "turned", "upside down", "comment with a wrong sum"),
        *("text bomb", "preview", "preview cut short", "no end marker", "bytes behind the end"),
    ],
)
def test_a_picture_that_viewers_show_is_taken_as_it_is_seen(
    make: Callable[[], bytes], size: tuple[int, int], tmp_path: Path
) -> None:
    assert checked(tmp_path, make()) == (Kind.IMAGE, *size)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: saved(photo(), "JPEG")[:2500], Problem.TRUNCATED),
        (lambda: saved(photo(), "PNG")[:400], Problem.TRUNCATED),
        (png_with_damaged_pixels, Problem.UNDECODABLE),
        (lambda: saved(photo(), "WEBP")[:600], Problem.TRUNCATED),
        (lambda: b"\x89PNG\r\n\x1a\n" + b"not a picture" * 20, Problem.UNDECODABLE),
        (lambda: saved(Image.new("L", (10_001, 10_000)), "PNG"), Problem.TOO_BIG),
    ],
    ids=["half a jpeg", "half a png", "damaged pixels", "half a webp", "magic bytes alone", "100 megapixels"],
)
def test_a_picture_that_is_broken_or_too_big_is_refused(
    make: Callable[[], bytes], problem: Problem, tmp_path: Path
) -> None:
    with pytest.raises(MediaError) as refused:
        checked(tmp_path, make())
    assert refused.value.problem is problem
    assert str(tmp_path) not in refused.value.message


def test_a_deep_grey_picture_is_scaled_and_not_clipped() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (40, 1))
    small = open_small(saved(Image.fromarray(ramp), "PNG"), near=256)
    seen = np.asarray(small)
    assert small.mode == "L"
    assert abs(float(seen.mean()) - 127.5) < 1
    assert (int(seen.min()), int(seen.max())) == (0, 255)


def test_a_large_jpeg_is_opened_small_and_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    small = open_small(saved(photo((3200, 2000)), "JPEG", exif=exif), near=400)
    assert small.height > small.width
    assert 400 <= small.height <= 1000


def test_a_film_is_measured_as_it_is_shown(tmp_path: Path) -> None:
    assert checked(tmp_path, film(tmp_path)) == (Kind.VIDEO, 320, 180)
    turned = tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-display_rotation", "90"]
    subprocess.run([*command, "-i", str(tmp_path / "film.mp4"), "-c", "copy", str(turned)], check=True)
    assert checked(tmp_path, turned.read_bytes()) == (Kind.VIDEO, 180, 320)


@pytest.mark.parametrize("rest", [b"\n", b"\0\0\0", b"appended by somebody else, not a box\n"])
def test_bytes_behind_a_whole_film_do_not_make_it_broken(rest: bytes, tmp_path: Path) -> None:
    assert checked(tmp_path, film(tmp_path) + rest)[0] is Kind.VIDEO


@pytest.mark.parametrize("flags", ["+faststart", "+frag_keyframe+empty_moov"])
def test_a_film_that_lacks_its_end_is_truncated(flags: str, tmp_path: Path) -> None:
    whole = film(tmp_path, "-movflags", flags)
    assert checked(tmp_path, whole)[0] is Kind.VIDEO
    for missing in (1, 4, 300):
        with pytest.raises(MediaError) as refused:
            checked(tmp_path, whole[:-missing])
        assert refused.value.problem is Problem.TRUNCATED


def test_a_film_without_index_cannot_be_decoded(tmp_path: Path) -> None:
    whole = film(tmp_path)
    at = whole.index(b"moov") - 4
    with pytest.raises(MediaError, match="index"):
        checked(tmp_path, whole[:at])


@pytest.mark.parametrize("length", [0, 2_000_000_036, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF])
def test_a_sound_without_a_length_in_its_header_is_whole(length: int, tmp_path: Path) -> None:
    assert checked(tmp_path, wav(length))[0] is Kind.AUDIO


def test_a_sound_that_lacks_its_end_is_truncated(tmp_path: Path) -> None:
    whole = wav(36 + 5920)
    assert checked(tmp_path, whole)[0] is Kind.AUDIO
    with pytest.raises(MediaError) as refused:
        checked(tmp_path, whole[:-1000])
    assert refused.value.problem is Problem.TRUNCATED


def test_an_index_that_comes_first_is_found(tmp_path: Path) -> None:
    film(tmp_path, name="last.mp4")
    film(tmp_path, "-movflags", "+faststart", name="first.mp4")
    (tmp_path / "none").write_bytes(b"no film")
    files = ("first.mp4", "last.mp4", "none")
    assert [is_faststart(tmp_path / name) for name in files] == [True, False, False]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"", "empty"),
        (b"  <!DOCTYPE html>", "an HTML page"),
        (b'{"detail": 1}', "JSON"),
        (b"<Error>", "XML"),
        (b"hello", "text"),
        (b"\x00\x01\x02\x03", "of an unknown format (it starts with 00 01 02 03)"),
    ],
)
def test_what_is_no_media_is_described(head: bytes, words: str) -> None:
    assert sniff(head) is None
    assert describe(head) == words


def test_mp4_with_sound_alone_is_m4a_and_the_other_way_round() -> None:
    assert by_content(MP4_FORMAT, Kind.AUDIO) is M4A_FORMAT
    assert by_content(M4A_FORMAT, Kind.VIDEO) is MP4_FORMAT
