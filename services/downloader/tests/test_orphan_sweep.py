"""The sweep over a real store: what no record names is removed after a day, and nothing in doubt."""

# ruff: noqa: N802  # the names of RPCs are those of the contracts

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from downloader.adapters.blob_store import OWNER_KEY, BlobStorage
from downloader.adapters.orphans.catalog_client import CatalogClient
from downloader.core.orphans import orphan_sweep
from downloader.core.orphans.orphan_sweep import OrphanSweep
from downloader.edges.blob_service import BlobServicer
from downloader.main import build
from rushes.catalog.v1 import storage_pb2, storage_pb2_grpc
from rushes.downloader.v1 import blobs_pb2 as pb
from rushes.downloader.v1 import blobs_pb2_grpc
from servicekit.blobs import BlobStore
from servicekit.clock import SystemClock
from servicekit.errors import Precondition, Unavailable
from servicekit.grpc.client import GrpcChannel, open_channel
from servicekit.grpc.server import GrpcServer
from servicekit.process.lifecycle import Tasks
from servicekit.testing import SimulatedClock, eventually


class FakeCatalog(storage_pb2_grpc.StorageServiceServicer):
    """Its records name the keys in `known`."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self.away = False
        self.system = "one"
        self.judged: list[Sequence[str]] = []

    async def FindUnneeded(self, request, context):
        if self.away:
            raise Unavailable("the database does not answer")
        if request.blob_keys:
            self.judged.append(list(request.blob_keys))
        gone = [key for key in request.blob_keys if key not in self.known and key != OWNER_KEY]
        return storage_pb2.FindUnneededResponse(blob_keys=gone, system=self.system)

    async def ListNamedBlobs(self, request, context):
        start = int(request.page_token or 0)
        page = self.known[start : start + 2]
        after = str(start + 2) if start + 2 < len(self.known) else ""
        blobs = [storage_pb2.NamedBlob(id=f"id of {key}", blob_key=key) for key in page]
        return storage_pb2.ListNamedBlobsResponse(blobs=blobs, next_page_token=after)


@pytest.fixture
def catalog() -> FakeCatalog:
    return FakeCatalog()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock.running()


def catalog_server(catalog: FakeCatalog, address: str = "127.0.0.1:0") -> GrpcServer:
    return GrpcServer(address, [catalog], clock=SystemClock(), service="catalog")


@pytest_asyncio.fixture
async def sweep(blobs, catalog, clock) -> AsyncIterator[OrphanSweep]:
    server = catalog_server(catalog)
    await server.start()
    channel = GrpcChannel(f"127.0.0.1:{server.port}")
    records = CatalogClient(channel.stub(storage_pb2_grpc.StorageServiceStub))
    yield OrphanSweep(BlobStorage(blobs), records, clock, older_than=timedelta(days=1))
    await channel.stop()
    await server.stop()


async def put(blobs, *keys: str) -> None:
    for key in keys:
        await blobs.put(key, b"x", content_type="video/mp4")


async def keys(blobs) -> list[str]:
    return [blob.key async for blob in blobs.list() if blob.key != OWNER_KEY]


async def test_what_no_record_names_is_removed_after_a_day(blobs, catalog, clock, sweep) -> None:
    await put(blobs, "media/g/0.mp4", "assets/a/original.png", "thumbs/m.webp")
    catalog.known = ["media/g/0.mp4"]
    clock.advance(23 * 3600)
    assert await sweep.run() == 0
    assert catalog.judged == [], "what is young is nobody's business"
    clock.advance(2 * 3600)
    assert await sweep.run() == 2
    assert await keys(blobs) == ["media/g/0.mp4"]
    assert await sweep.run() == 0


async def test_everything_is_compared_page_by_page(blobs, catalog, clock, sweep, monkeypatch) -> None:
    monkeypatch.setattr(orphan_sweep, "PAGE", 4)
    monkeypatch.setattr(orphan_sweep, "BATCH", 3)
    names = sorted(
        [f"media/gen_{number}/{index}.mp4" for number in range(3) for index in range(2)]
        + [
            "assets/a/original.png",
            "cuts/job_1/v1.mp4",
            "thumbs/job_1-v1.jpg",
            "thumbs/job_1.webp",
            "thumbs/m.webp",
        ]
    )
    await put(blobs, *names)
    catalog.known = names[::2]
    clock.advance(2 * 86_400)
    assert await sweep.run() == 5
    assert [key for request in catalog.judged for key in request if key != OWNER_KEY] == names
    assert await keys(blobs) == names[::2]


async def test_a_catalog_that_knows_next_to_nothing_is_not_believed(
    blobs, catalog, clock, sweep, monkeypatch
) -> None:
    monkeypatch.setattr(orphan_sweep, "ALWAYS_REMOVABLE", 3)
    names = [f"media/g/{number}.mp4" for number in range(9)]
    await put(blobs, *names)
    catalog.known = names[:3]
    clock.advance(2 * 86_400)
    assert await sweep.run() == 0
    assert await keys(blobs) == names
    catalog.known = names[:5]
    assert await sweep.run() == 4


async def test_the_store_of_another_system_is_left_alone(blobs, catalog, clock, sweep) -> None:
    await put(blobs, "media/g/0.mp4")
    assert await sweep.run() == 0, "too young; but now it is known whose store this is"
    clock.advance(2 * 86_400)
    catalog.system = "another"
    assert await sweep.run() == 0
    assert await keys(blobs) == ["media/g/0.mp4"]
    await blobs.delete(OWNER_KEY)
    assert await sweep.run() == 1


async def test_without_the_catalog_nothing_goes(blobs, catalog, clock, sweep) -> None:
    await put(blobs, "media/g/0.mp4")
    clock.advance(2 * 86_400)
    catalog.away = True
    with pytest.raises(Unavailable):
        await sweep.run()
    assert await keys(blobs) == ["media/g/0.mp4"]


async def test_operators_see_what_goes_and_what_is_missing(blobs, catalog, clock, sweep) -> None:
    await put(blobs, "media/g/0.mp4", "media/g/1.mp4")
    catalog.known = ["assets/a/1.png", "media/g/0.mp4", "cuts/j/v1.mp4"]
    clock.advance(2 * 86_400)
    server = GrpcServer("127.0.0.1:0", [BlobServicer(sweep)], clock=SystemClock(), service="downloader")
    await server.start()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        stub = blobs_pb2_grpc.BlobServiceStub(channel)
        page = await stub.ListUnneededBlobs(pb.ListUnneededBlobsRequest())
        assert (page.looked_at, page.next_page_token) == (2, "")
        assert [(blob.blob_key, blob.size_bytes) for blob in page.blobs] == [("media/g/1.mp4", 1)]
        missing, token = [], ""
        while True:
            page = await stub.ListMissingBlobs(pb.ListMissingBlobsRequest(page_token=token))
            missing += [(blob.id, blob.blob_key) for blob in page.blobs]
            token = page.next_page_token
            if not token:
                break
    await server.stop()
    assert missing == [("id of assets/a/1.png", "assets/a/1.png"), ("id of cuts/j/v1.mp4", "cuts/j/v1.mp4")]
    assert await keys(blobs) == ["media/g/0.mp4", "media/g/1.mp4"], "listing removes nothing"


async def test_what_is_missing_is_reported_once_a_sweep(blobs, catalog, clock, sweep) -> None:
    """With the way to the whole list; and no more once it is there again."""
    await put(blobs, "media/g/0.mp4", "media/g/1.mp4")
    catalog.known = ["media/g/0.mp4", "assets/a/1.png", "media/g/1.mp4", "cuts/j/v1.mp4", "thumbs/m.webp"]
    with capture_logs() as logs:
        await sweep.run()
    (line,) = [line for line in logs if "missing" in line]
    assert (line["log_level"], line["missing"], line["first_blob"]) == ("error", 3, "assets/a/1.png")
    assert "rushes storage check" in line["event"]
    assert REGISTRY.get_sample_value("rushes_blobs_missing") == 3
    await put(blobs, "assets/a/1.png", "cuts/j/v1.mp4", "thumbs/m.webp")
    with capture_logs() as logs:
        await sweep.run()
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert REGISTRY.get_sample_value("rushes_blobs_missing") == 0


async def test_a_store_that_has_lost_everything_is_reported(blobs, catalog, clock, sweep) -> None:
    catalog.known = [f"media/g/{number}.mp4" for number in range(30)]
    clock.advance(2 * 86_400)
    await sweep.run()
    assert REGISTRY.get_sample_value("rushes_blobs_missing") == 30


async def test_what_is_stored_while_the_sweep_runs_is_not_missing(
    blobs, catalog, clock, sweep, monkeypatch
) -> None:
    catalog.known = ["media/g/0.mp4"]
    listed = sweep.unneeded_page

    async def and_then_stored(after: str = ""):
        page = await listed(after)
        await put(blobs, "media/g/0.mp4")
        return page

    monkeypatch.setattr(sweep, "unneeded_page", and_then_stored)
    await sweep.run()
    assert REGISTRY.get_sample_value("rushes_blobs_missing") == 0


async def test_a_catalog_that_comes_up_later_is_waited_for_without_an_error(
    s3, blobs, catalog, origin
) -> None:
    """As at each start: the downloader is up before the catalog."""
    environ = {
        "BLOB_ENDPOINT": s3.endpoint,
        "BLOB_ACCESS_KEY": s3.access_key,
        "BLOB_SECRET_KEY": s3.secret_key,
        "BLOB_BUCKET": blobs._client.bucket,
        "CATALOG_ADDRESS": f"127.0.0.1:{await origin.free_port()}",
    }
    parts = [part for part in build(environ) if isinstance(part, BlobStore | GrpcChannel | Tasks)]
    server = catalog_server(catalog, environ["CATALOG_ADDRESS"])
    with capture_logs() as logs:
        for part in parts:
            await part.start()
        await eventually(lambda: any(line["event"] == "waiting for another part" for line in logs))
        await server.start()

        async def has_swept() -> bool:
            return [blob.key async for blob in blobs.list()] == [OWNER_KEY]

        await eventually(has_swept, within=20)
        for part in reversed(parts):
            await part.stop()
        await server.stop()
    assert [line for line in logs if line["log_level"] in ("error", "critical")] == []


async def test_without_a_catalog_the_error_names_the_way_out() -> None:
    with pytest.raises(Precondition, match="set CATALOG_ADDRESS"):
        await BlobServicer(None).ListMissingBlobs(pb.ListMissingBlobsRequest(), None)
