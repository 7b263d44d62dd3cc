"""What the renderers make, measured with PyAV and numpy."""

from __future__ import annotations

import asyncio
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sandbox.adapters.rendering import camera_moves, drawing, music
from sandbox.adapters.rendering.renderers import LocalRenderer
from sandbox.adapters.rendering.video_encoder import frame_size
from sandbox.adapters.rendering.yuv_planes import fit, open_picture
from sandbox.core.models.domain.catalog_own import OWN_MODELS
from sandbox.core.models.domain.input_validation import defaults
from sandbox.core.predictions.ports import Rendered, RenderError, RenderJob

MODELS = {model.name: model for model in OWN_MODELS}


def render(folder: Path, name: str, pictures: dict[str, Path] | None = None, **value: Any) -> Rendered:
    model = MODELS[name]
    job = RenderJob(
        "p1", model.full_name, model.kind, {**defaults(model.openapi), **value}, pictures or {}, folder / "p1"
    )

    async def run() -> Rendered:
        renderer = LocalRenderer(folder, at_once=1)
        try:
            return await renderer.render(job, lambda _fraction, _line: None)
        finally:
            await renderer.stop()

    return asyncio.run(run())


def photo(folder: Path, size: tuple[int, int], *, prompt: str = "a house", orientation: int = 1) -> Path:
    path = folder / f"{prompt}-{size[0]}x{size[1]}-{orientation}.jpg".replace(" ", "-")
    exif = Image.Exif()
    exif[274] = orientation
    drawing.draw(prompt, 1, size).save(path, "JPEG", exif=exif)
    return path


def boxes(path: Path) -> list[bytes]:
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append(kind)
        at += size
    return found


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray")[::8, ::8].astype(int) for frame in container.decode(video=0)]


def test_a_camera_move_has_the_promised_format(tmp_path: Path) -> None:
    made = render(
        tmp_path, "camera-move", {"image": photo(tmp_path, (1085, 724))}, duration=2, fps=25, move="pan-left"
    )
    path = made.files[0].path
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == (
            "h264",
            "yuv420p",
            1920,
            1080,
        )
        assert stream.sample_aspect_ratio == 1
        assert (context.color_primaries, context.color_trc, context.colorspace, context.color_range) == (
            1,
            1,
            1,
            1,
        )
        assert stream.average_rate == stream.base_rate == 25
        packets = [p for p in container.demux(stream) if p.pts is not None]
        assert len(packets) == 50
        keys = [float(p.pts * p.time_base) for p in packets if p.is_keyframe]
        assert keys == [0.0, 1.0]
        shown = sorted(p.pts * p.time_base for p in packets)
        assert {b - a for a, b in pairwise(shown)} == {Fraction(1, 25)}
    kinds = boxes(path)
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    pictures = frames(path)
    assert np.abs(pictures[0] - pictures[-1]).mean() > 4, "the camera does not move"
    steps = [np.abs(a - b).mean() for a, b in pairwise(pictures)]
    assert max(steps) < 4 * (sum(steps) / len(steps)), "the move jumps"
    assert made.metrics["video_output_duration_seconds"] == 2.0


@pytest.mark.parametrize("fps", [24, 30])
def test_exact_number_of_frames(tmp_path: Path, fps: int) -> None:
    source = photo(tmp_path, (320, 240))
    made = render(tmp_path, "camera-move", {"image": source}, duration=2, fps=fps, resolution="720p")
    assert len(frames(made.files[0].path)) == 2 * fps


def test_first_last_goes_from_one_to_the_other(tmp_path: Path) -> None:
    first, last = photo(tmp_path, (640, 360)), photo(tmp_path, (640, 360), prompt="a kitchen")
    made = render(
        tmp_path, "first-last", {"first_image": first, "last_image": last}, duration=2, resolution="720p"
    )
    shown = frames(made.files[0].path)

    def near(frame: np.ndarray, source: Path) -> float:
        wanted = fit(open_picture(source, near=(1280, 720)), (1280, 720)).convert("L")
        return float(np.abs(frame - np.asarray(wanted)[::8, ::8].astype(int)).mean())

    assert near(shown[0], first) < 12 < near(shown[0], last)
    assert near(shown[-1], last) < 12 < near(shown[-1], first)


def test_title_card_shows_its_text(tmp_path: Path) -> None:
    made = render(tmp_path, "title-card", text="Lake house", duration=2, resolution="720p")
    shown = frames(made.files[0].path)
    assert (shown[25] > 180).sum() > 30 > (shown[0] > 180).sum()


def test_portrait_is_shown_whole_and_upright(tmp_path: Path) -> None:
    # Stored lying on its side, as telephones do: orientation 6 means turn by 90 degrees.
    lying = open_picture(photo(tmp_path, (900, 600), orientation=6), near=(2400, 1350))
    assert lying.size == (600, 900)
    filled = fit(lying, (1920, 1080))
    assert filled.size == (1920, 1080)
    edge = np.asarray(filled.convert("L"))[:, :200].astype(int)
    assert np.abs(np.diff(edge, axis=0)).max() < 30, "the fill beside a portrait is not blurred"
    assert fit(Image.new("RGB", (40, 30)), (1920, 1080)).size == (1920, 1080)


def test_pictures_with_transparency_and_palette(tmp_path: Path) -> None:
    for mode in ("RGBA", "P", "L", "CMYK", "1"):
        path = tmp_path / f"{mode}.{'tiff' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (64, 48)).save(path)
        assert open_picture(path, near=(64, 48)).mode == "RGB"


@pytest.mark.parametrize("content", [b"not a picture", b"", b"cut"])
def test_unreadable_pictures_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(photo(tmp_path, (640, 480)).read_bytes()[:4000] if content == b"cut" else content)
    with pytest.raises(RenderError, match="cannot be decoded"):
        open_picture(path, near=(640, 480))


def test_stills_differ_by_seed_and_repeat(tmp_path: Path) -> None:
    made = render(tmp_path, "still", prompt="a kitchen", num_outputs=2, seed=5, output_format="png")
    assert [f.name for f in made.files] == ["out-0.png", "out-1.png"]
    one, two = (np.asarray(Image.open(f.path)) for f in made.files)
    assert (one != two).any()
    again = render(
        tmp_path / "again", "still", prompt="a kitchen", num_outputs=1, seed=5, output_format="png"
    )
    assert (np.asarray(Image.open(again.files[0].path)) == one).all()


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("mp3", "mp3float"), ("wav", "pcm_s16le")])
def test_music_bed(tmp_path: Path, suffix: str, codec: str) -> None:
    made = render(tmp_path, "music-bed", prompt="warm", duration=8, seed=3, output_format=suffix)
    with av.open(str(made.files[0].path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.channels) == (codec, 48_000, 2)
        sound = np.concatenate([f.to_ndarray().astype(float).mean(axis=0) for f in container.decode(audio=0)])
    assert sound.std() > 0
    assert made.metrics["audio_output_duration_seconds"] == 8.0


def test_music_is_loud_enough_and_composed(tmp_path: Path) -> None:
    sound = music.compose("upbeat", 3, 20)
    assert sound.shape == (2, 20 * 48_000)
    assert 0.08 < float(np.sqrt((sound**2).mean())) < 0.4
    assert float(np.abs(sound).max()) <= 0.9
    assert (sound[0] != sound[1]).any(), "mono"
    seconds = np.sqrt((sound[0].reshape(20, 48_000) ** 2).mean(axis=1))
    assert seconds.min() > 0.02, "silent second"
    assert (sound == music.compose("upbeat", 3, 20)).all()
    assert (sound != music.compose("upbeat", 4, 20)).any()


def test_voiceover(tmp_path: Path) -> None:
    made = render(tmp_path, "voice-over", text="Welcome to the lake house.")
    assert 1 < made.metrics["audio_output_duration_seconds"] < 10


@pytest.mark.parametrize("move", sorted(camera_moves.MOVES))
def test_camera_stays_inside_and_never_stops(move: str) -> None:
    box_at = camera_moves.box_at(move, (2400, 1350))
    path = [box_at(i / 99) for i in range(100)]
    for left, top, right, bottom in path:
        assert left >= -1e-9
        assert top >= -1e-9
        assert right <= 2400
        assert bottom <= 1350
        assert (right - left) / (bottom - top) == pytest.approx(16 / 9, rel=1e-6)
    assert all(a != b for a, b in pairwise(path))


@pytest.mark.parametrize(
    ("resolution", "aspect", "size"),
    [
        ("1080p", "16:9", (1920, 1080)),
        ("720p", "9:16", (720, 1280)),
        ("1080p", "1:1", (1080, 1080)),
        ("1080p", "21:9", (1920, 822)),
        ("480p", "16:9", (854, 480)),
        ("odd", "wrong", (1920, 1080)),
    ],
)
def test_frame_size(resolution: str, aspect: str, size: tuple[int, int]) -> None:
    assert frame_size(resolution, aspect) == size
