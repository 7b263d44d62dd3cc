"""Uploads: what is taken, what is refused, and that nothing is left behind."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import wave
import zlib
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import av
import pytest
from PIL import Image

from rushes.catalog.v1.assets_pb2 import CreateAssetRequest
from rushes.catalog.v1.clients_pb2 import CreateClientRequest
from rushes.common.v1.media_pb2 import MEDIA_KIND_AUDIO, MEDIA_KIND_IMAGE
from rushes.downloader.v1.downloader_pb2 import FetchFileRequest
from servicekit.errors import Invalid, Unavailable
from servicekit.ids import new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENT = new_id("client")


def picture(form: str = "PNG", size: tuple[int, int] = (40, 20), **more: Any) -> bytes:
    image = Image.effect_noise(size, 60).convert("RGB")
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def animation() -> bytes:
    frames = [Image.new("RGB", (30, 10), color) for color in ("red", "green", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    return out.getvalue()


def sound(seconds: float = 0.5) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\x01\x02" * int(8000 * seconds))
    return out.getvalue()


def mp4(*, pictures: bool = False) -> bytes:
    """Sound in MP4 with the brand `isom`, as FFmpeg writes it; with a film beside it if wanted."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as box:
        tone = box.add_stream("aac", rate=48000)
        film = box.add_stream("mpeg4", rate=24) if pictures else None
        silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        for plane in silence.planes:
            plane.update(bytes(4096))
        silence.rate, silence.pts, silence.time_base = 48000, 0, Fraction(1, 48000)
        if film is not None:
            film.width, film.height, film.pix_fmt = 64, 64, "yuv420p"
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 64), "red"))
            frame.pts, frame.time_base = 0, Fraction(1, 24)
            box.mux([*film.encode(frame), *film.encode(None)])
        box.mux([*tone.encode(silence), *tone.encode(None)])
    return out.getvalue()


def hollow_png(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


async def stored(running: Any) -> list[str]:
    return [info.key async for info in running.blobs.list("assets/")]


async def upload(
    running: Any, data: bytes, filename: str = "photo.jpg", path: str = "/api/v3/assets", **fields: Any
) -> Any:
    return await running.http.post(
        path, files={"file": (filename, data)}, data={"client_id": CLIENT, **fields}
    )


@pytest.mark.parametrize(
    ("data", "kind", "content_type", "extension", "size"),
    [
        (picture("PNG"), "image", "image/png", "png", (40, 20)),
        (picture("JPEG"), "image", "image/jpeg", "jpg", (40, 20)),
        (
            picture("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"),
            "image",
            "image/jpeg",
            "jpg",
            (20, 40),
        ),
        (picture("WEBP"), "image", "image/webp", "webp", (40, 20)),
        (animation(), "image", "image/gif", "gif", (30, 10)),
        (sound(), "audio", "audio/wav", "wav", (0, 0)),
    ],
)
async def test_what_is_taken(
    running: Any, data: bytes, kind: str, content_type: str, extension: str, size: tuple[int, int]
) -> None:
    answer = await upload(running, data, "../../etc/Küche 1.exe", tags="kitchen, wide", metadata='{"n": 1}')
    assert answer.status_code == 201, answer.text
    asset = answer.json()
    assert (asset["kind"], asset["filename"], asset["tags"]) == (kind, "Küche 1.exe", ["kitchen", "wide"])
    assert answer.headers["location"] == f"/api/v3/assets/{asset['id']}"
    request = running.services.last(CreateAssetRequest)
    assert request.blob_key == f"assets/{asset['id']}/original.{extension}"
    assert request.facts.kind == (MEDIA_KIND_IMAGE if kind == "image" else MEDIA_KIND_AUDIO)
    assert request.facts.content_type == content_type
    assert request.facts.sha256 == hashlib.sha256(data).hexdigest()
    assert request.facts.size_bytes == len(data)
    assert (request.facts.width, request.facts.height) == size
    assert request.facts.duration_s == (0.5 if kind == "audio" else 0)
    assert await running.blobs.get(request.blob_key, limit=1 << 20) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"these are words, and many of them, in a file named .jpg", "none of the kinds"),
        (b"", "is empty"),
        (b"\xff\xd8\xff", "does not decode"),
        (picture("JPEG", (400, 400))[:-8000], "truncated"),
        (picture("PNG", (400, 400))[:-8000], "does not decode"),
        (picture("WEBP", (400, 400))[:-8000], "does not decode"),
        (animation()[:-20], "does not decode"),
        (hollow_png(10_000, 6_000), "60-megapixel image: at most 50"),
        (hollow_png(60_000, 60_000), "3600-megapixel image: at most 50"),
        (hollow_png(5_000, 5_000), "does not decode"),
        (mp4(pictures=True), "is a film, not music"),
        (b"RIFF\x24\0\0\0WAVEjunkjunkjunkjunkjunkjunkjunk", "does not decode"),
        (b"ID3\x04\0\0\0\0\0\0" + b"\0" * 200, "does not decode"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>" + b" " * 50, "none of the kinds"),
    ],
)
async def test_what_is_refused(running: Any, data: bytes, message: str) -> None:
    before = await stored(running)
    answer = await upload(running, data)
    assert answer.status_code == 422, answer.text
    problem = answer.json()["errors"][0]
    assert problem["field"] == "file"
    assert message in problem["message"]
    assert "/tmp" not in answer.text
    assert await stored(running) == before
    assert not running.services.assets


@pytest.mark.parametrize("brand", [b"isom", b"mp41", b"iso5", b"M4A "])
async def test_sound_in_mp4_is_music_whatever_its_brand(running: Any, brand: bytes) -> None:
    data = mp4()
    answer = await upload(running, data[:8] + brand + data[12:], "song.mp4")
    assert answer.status_code == 201, answer.text
    request = running.services.last(CreateAssetRequest)
    assert request.facts.content_type == "audio/mp4"
    assert request.blob_key.endswith(".m4a")


async def test_a_file_over_the_limit_is_413(running: Any) -> None:
    async def body() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture()
        for _ in range(40):
            yield b"\0" * (1024 * 1024)

    answer = await running.http.post(
        "/api/v3/assets", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert "10 MB" in answer.json()["detail"]
    announced = await upload(running, b"\0" * (52 * 1024 * 1024))
    assert announced.status_code == 413
    assert not await stored(running) or not running.services.assets


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"nmae": "x"}, "nmae", "did you mean name?"),
        ({"metadata": "[1]"}, "metadata", "JSON object"),
        ({"tags": "[1, 2]"}, "tags", "JSON list of texts"),
        ({"type": "audio"}, "type", "the file is image"),
        ({"type": "video"}, "type", "one of image, audio"),
        ({"client_id": "job_1"}, "client_id", "is not a client id"),
        ({"name": "n" * 201}, "name", "at most 200"),
        ({"metadata": ['{"a": 1}', '{"b": 2}']}, "metadata", "once is enough"),
        ({"name": ["a", "b"]}, "name", "once is enough"),
        ({"source_url": "https://photos.example/a.png"}, "source_url", "no known field"),
        ({"metadata": '{"x": ' * 5000 + "1" + "}" * 5000}, "metadata", "JSON object"),
    ],
)
async def test_wrong_fields_are_named_before_anything_is_stored(
    running: Any, fields: dict[str, str], field: str, message: str
) -> None:
    before = await stored(running)
    answer = await upload(running, picture(), **fields)
    assert answer.status_code == 422, answer.text
    assert [(e["field"], message in e["message"]) for e in answer.json()["errors"]] == [(field, True)]
    assert await stored(running) == before


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "multipart/form-data; boundary=b", 400),
        (b"junk", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n", "multipart/form-data", 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nGIF89a',
            "multipart/form-data; boundary=b",
            400,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="pic"; filename="a"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            422,
        ),
        (b"{}", "application/json", 422),
        (b'{"source_url": 5}', "application/json", 422),
        (b'{"file": "R0lGODlh"}', "application/json", 422),
        (b'{"source_url": "https://x.example/a", "tag": []}', "application/json", 422),
        (b"", "text/plain", 422),
    ],
)
async def test_broken_requests(running: Any, content: bytes, kind: str, status: int) -> None:
    answer = await running.http.post("/api/v3/assets", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("tags", "read"),
    [
        ("kitchen, wide,,", ["kitchen", "wide"]),
        (["kitchen", "wide, tall"], ["kitchen", "wide", "tall"]),
        ('["a, b", " c "]', ["a, b", "c"]),
        ("", []),
    ],
)
async def test_a_list_in_a_form_is_repeated_or_has_commas_or_is_json(
    running: Any, tags: Any, read: list[str]
) -> None:
    answer = await upload(running, picture(), tags=tags, metadata="", name=" ")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["tags"], answer.json()["name"]) == (read, "photo.jpg")


def _form(*parts: bytes) -> bytes:
    return (
        b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    )


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (_form(b'name="file"\r\n\r\nGIF89a'), 422, "must be a file"),
        (_form(*[b'name="tags"\r\n\r\nx'] * 66), 400, "Maximum segment count"),
        (_form(b'name="description"\r\n\r\n' + b"x" * 70_000), 413, "more than 65536 bytes"),
        (_form(*[b'name="file"; filename="a"\r\n\r\nGIF89a'] * 2), 422, "stands twice"),
    ],
)
async def test_limits_of_a_form(running: Any, content: bytes, status: int, detail: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await running.http.post("/api/v3/assets", content=content, headers=kind)
    assert (answer.status_code, detail in answer.json()["detail"]) == (status, True), answer.text


async def test_a_file_name_that_is_not_utf_8_is_accepted_all_the_same(running: Any) -> None:
    content = _form('name="file"; filename="Küche.png"\r\n\r\n'.encode("latin-1") + picture())
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await running.http.post("/api/v3/assets", content=content, headers=kind)
    assert (answer.status_code, answer.json()["filename"]) == (201, "K\N{REPLACEMENT CHARACTER}che.png")


async def test_a_refused_record_leaves_no_blob(running: Any) -> None:
    before = await stored(running)
    running.services.error = Invalid("client_id: no such client")
    assert (await upload(running, picture())).status_code == 400
    assert await stored(running) == before


async def test_a_lost_answer_does_not_lose_the_upload(running: Any) -> None:
    running.services.lose_answers, running.services.error = True, Unavailable("gone")
    answer = await upload(running, picture())
    assert answer.status_code == 201
    key = f"assets/{answer.json()['id']}/original.png"
    assert key in await stored(running)


async def test_bytes_stay_while_nobody_knows_whether_they_were_recorded(running: Any) -> None:
    running.services.lose_answers, running.services.error = True, Unavailable("gone")
    running.services.away = True  # the catalog has died after it had recorded: it cannot be asked either
    before = await stored(running)
    assert (await upload(running, picture())).status_code == 503
    (asset_id,) = running.services.assets
    assert set(await stored(running)) - set(before) == {f"assets/{asset_id}/original.png"}


async def test_uploads_by_address_go_through_the_downloader(running: Any) -> None:
    body = {"source_url": "https://photos.example/a.png", "client_id": CLIENT, "tags": ["x"], "name": "A"}
    answer = await running.http.post("/api/v3/assets", json=body)
    assert answer.status_code == 201, answer.text
    request = running.services.last(FetchFileRequest)
    assert request.blob_key_stem == f"assets/{answer.json()['id']}/original"
    assert (request.kind, request.max_bytes) == (MEDIA_KIND_IMAGE, 10 * 1024 * 1024)
    before = await stored(running)
    body["source_url"] = "https://photos.example/huge.png"
    refused = await running.http.post("/api/v3/assets", json=body)
    assert refused.status_code == 422
    assert "100-megapixel" in refused.text
    assert await stored(running) == before


async def test_the_older_address_answers_in_its_own_way(running: Any) -> None:
    for _ in range(2):
        answer = await running.http.post("/api/upload-image", files={"file": ("a b.png", picture())})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["success"], body["filename"], set(body)) == (
            True,
            "a b.png",
            {"success", "url", "filename"},
        )
        assert body["url"].startswith("/api/v3/assets/ast_")
    assert [client.name for client in running.services.clients] == ["Uploads"]
    assert [each.reuse for each in running.services.requests if isinstance(each, CreateClientRequest)] == [
        True
    ]


async def test_signed_addresses(running: Any) -> None:
    asset = (await upload(running, picture())).json()["id"]
    path = f"/api/v3/assets/{asset}/token"
    for body, seconds in (({"ttl_s": 60}, 60), (None, 3600)):
        answer = await running.http.post(path, json=body)
        assert answer.status_code == 200
        signed = answer.json()
        assert signed["url"] == f"/api/v3/assets/{asset}/data?token={signed['token']}"
        left = datetime.fromisoformat(signed["expires_at"]) - datetime.now(UTC)
        assert seconds - 5 <= left.total_seconds() <= seconds
    for wrong in ({"ttl_s": 0}, {"ttl_s": 86_401}, {"ttl_s": "60"}, {"ttl_s": True}, {"ttl": 60}, []):
        assert (await running.http.post(path, content=json.dumps(wrong))).status_code == 422
    assert (await running.http.post(f"/api/v3/assets/{new_id('asset')}/token")).status_code == 404
