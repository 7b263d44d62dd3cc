"""Stored bytes over HTTP: ranges, tokens, thumbnails, clients that leave."""

from __future__ import annotations

import asyncio
import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rushes.catalog.v1 import media_pb2
from rushes.stitcher.v1.stitcher_pb2 import MakeThumbnailRequest
from servicekit.ids import new_id
from servicekit.signing import sign
from servicekit.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

BIG = random.Random(1).randbytes(6 * 1024 * 1024 + 17)


async def test_whole_and_parts_are_the_very_bytes(running: Any) -> None:
    media, _ = await running.store(BIG)
    path = f"/api/v3/media/{media}"
    whole = await running.http.get(path)
    assert whole.status_code == 200
    assert whole.content == BIG
    assert whole.headers["content-length"] == str(len(BIG))
    assert whole.headers["etag"] == f'"{hashlib.sha256(BIG).hexdigest()}"'
    assert whole.headers["last-modified"] == "Wed, 04 Mar 2026 05:06:07 GMT"
    assert whole.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in whole.headers
    part = await running.http.get(path, headers={"Range": "bytes=5000000-", "Accept-Encoding": "gzip"})
    assert (part.status_code, part.content) == (206, BIG[5_000_000:])
    assert "content-encoding" not in part.headers
    tail = await running.http.get(path, headers={"Range": "bytes=-7"})
    assert tail.content == BIG[-7:]
    several = await running.http.get(path, headers={"Range": "bytes=10-19,4000000-4000009"})
    assert several.status_code == 206
    assert several.headers["content-length"] == str(len(several.content))
    boundary = several.headers["content-type"].partition("boundary=")[2]
    pieces = several.content.split(f"--{boundary}".encode())
    assert [piece.partition(b"\r\n\r\n")[2][:-2] for piece in pieces[1:-1]] == [
        BIG[10:20],
        BIG[4000000:4000010],
    ]
    nothing = await running.http.get(path, headers={"Range": f"bytes={len(BIG)}-"})
    assert (nothing.status_code, nothing.headers["content-range"]) == (416, f"bytes */{len(BIG)}")
    head = await running.http.head(path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(BIG)), b"")
    unchanged = await running.http.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert running.services.last(media_pb2.LocateObjectRequest).media_id == media


async def test_clips_and_cuts(running: Any) -> None:
    job = new_id("job")
    _, found = await running.store(b"cut")
    running.services.objects[f"{job}/2"] = running.services.objects[f"{job}/0"] = found
    running.services.objects["scene-1-x.mp4"] = found
    newest = await running.http.get(f"/api/v3/videos/{job}/combined?download=1")
    assert (newest.content, newest.headers["cache-control"]) == (b"cut", "private, no-cache")
    assert newest.headers["content-disposition"].endswith("filename*=UTF-8''Sommer%20im%20S%C3%BCden.mp4")
    fixed = await running.http.get(f"/api/v3/videos/{job}/combined?version=2")
    assert fixed.headers["cache-control"].endswith("immutable")
    assert (await running.http.get(f"/api/v3/videos/{job}/combined?version=9")).status_code == 404
    assert (await running.http.get(f"/api/v3/videos/{job}/clips/scene-1-x.mp4")).content == b"cut"
    for query in ("?version=two", "?version=-1", "?verion=2"):
        assert (await running.http.get(f"/api/v3/videos/{job}/combined{query}")).status_code == 422
    assert (await running.http.get("/api/v3/videos/nonsense/combined")).status_code == 422


async def test_a_missing_blob_is_404_and_no_half_answer(running: Any) -> None:
    media, found = await running.store(b"x")
    await running.blobs.delete(found.blob_key)
    answer = await running.http.get(f"/api/v3/media/{media}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_thumbnail_is_made_when_it_is_not_there(running: Any) -> None:
    media, found = await running.store(b"film")
    running.services.objects[f"{media}/thumbnail"] = media_pb2.StoredObject(blob_key=f"thumbs/{media}.webp")
    for _ in range(2):
        answer = await running.http.get(f"/api/v3/media/{media}/thumbnail")
        assert (answer.status_code, answer.content) == (200, b"thumbnail")
        assert answer.headers["content-type"] == "image/webp"
        assert answer.headers["etag"].startswith('"')
    assert running.services.thumbnails == 1
    assert running.services.last(MakeThumbnailRequest) == MakeThumbnailRequest(
        blob_key=found.blob_key, thumbnail_key=f"thumbs/{media}.webp"
    )


async def test_redirects_lead_to_the_bytes(running: Any) -> None:
    media, _ = await running.store(b"elsewhere")
    answer = await running.http.get(f"/api/v3/media/{media}?redirect=1")
    assert (answer.status_code, answer.headers["cache-control"]) == (302, "no-store")
    there = await running.http.get(answer.headers["location"], headers={"X-API-Key": ""})
    assert there.content == b"elsewhere"
    assert "attachment" not in there.headers.get("content-disposition", "")


async def test_a_download_by_redirect_keeps_its_name(running: Any) -> None:
    media, _ = await running.store(b"elsewhere")
    here = await running.http.get(f"/api/v3/media/{media}?download=1")
    answer = await running.http.get(f"/api/v3/media/{media}?download=1&redirect=1")
    there = await running.http.get(answer.headers["location"], headers={"X-API-Key": ""})
    assert there.content == b"elsewhere"
    assert there.headers["content-disposition"] == here.headers["content-disposition"]
    assert "Sommer" in there.headers["content-disposition"]


async def test_a_token_opens_one_asset_and_a_wrong_one_nothing(running: Any) -> None:
    asset, other = new_id("asset"), new_id("asset")
    _, found = await running.store(b"photo")
    running.services.objects[asset] = running.services.objects[other] = found
    path, now = f"/api/v3/assets/{asset}/data", datetime.now(UTC)
    nobody = {"X-API-Key": ""}
    good = sign("a secret for tests", f"asset:{asset}", now + timedelta(minutes=1))
    answer = await running.http.get(f"{path}?token={good}", headers=nobody)
    assert (answer.status_code, answer.content) == (200, b"photo")
    kind, _, age = answer.headers["cache-control"].partition(", max-age=")
    assert kind == "public"
    assert 50 <= int(age.partition(",")[0]) <= 60
    expired = sign("a secret for tests", f"asset:{asset}", now - timedelta(seconds=1))
    foreign = sign("another secret", f"asset:{asset}", now + timedelta(minutes=1))
    for wrong in (expired, foreign, "", "x", good[:-1], "9" * 5000):
        answer = await running.http.get(path, params={"token": wrong})  # with a valid key beside it
        assert answer.status_code == 401, wrong
    assert (await running.http.get(f"/api/v3/assets/{other}/data?token={good}")).status_code == 401
    assert (await running.http.get(path)).content == b"photo"
    assert (await running.http.get(path, headers=nobody)).status_code == 401


async def test_a_token_plays_one_jobs_cut(running: Any) -> None:
    job, other = new_id("job"), new_id("job")
    _, found = await running.store(b"film")
    running.services.objects[f"{job}/0"] = running.services.objects[f"{other}/0"] = found
    nobody = {"X-API-Key": ""}
    signed = (await running.http.post(f"/api/v3/videos/{job}/token", json={"ttl_s": 60})).json()
    answer = await running.http.get(signed["url"], headers=nobody)
    assert (answer.status_code, answer.content) == (200, b"film")
    elsewhere = signed["url"].replace(job, other)
    assert (await running.http.get(elsewhere, headers=nobody)).status_code == 401
    none = await running.http.post(f"/api/v3/videos/{new_id('job')}/token")
    assert none.status_code == 404


async def test_a_client_that_leaves_frees_everything(running: Any) -> None:
    media, _ = await running.store(BIG * 3)
    tasks = len(asyncio.all_tasks())
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"GET /api/v3/media/{media} HTTP/1.1\r\nHost: x\r\nX-API-Key: read-key\r\n\r\n".encode())
    assert (await reader.readexactly(12)) == b"HTTP/1.1 200"
    assert len(asyncio.all_tasks()) > tasks
    writer.close()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
