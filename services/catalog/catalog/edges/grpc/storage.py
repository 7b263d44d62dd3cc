"""StorageService."""

# the contract names the methods, and documents them

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.empty_pb2 import Empty

from catalog.core.shared.values import MediaKind
from catalog.core.storage.admin import Storing
from catalog.core.storage.orphans import Sweeping
from catalog.core.storage.queries import File, Usage
from catalog.edges.grpc.proto_mapping import Context, cut_url, media_url, page_request, stamp
from catalog.proto_enums import KINDS
from rushes.catalog.v1 import storage_pb2 as pb
from rushes.catalog.v1 import storage_pb2_grpc

NAME = "rushes.catalog.v1.StorageService"
MEGA, GIGA = 10**6, 10**9


class StorageServicer(storage_pb2_grpc.StorageServiceServicer):
    """What the stored outputs and cuts take."""

    def __init__(self, storing: Storing, sweeping: Sweeping) -> None:
        self._storing = storing
        self._sweeping = sweeping

    async def GetStorageStats(self, request: pb.GetStorageStatsRequest, context: Context) -> pb.StorageStats:
        stats = await self._storing.stats(page_request(request))
        size, counts = stats.total.size_bytes, stats.downloads
        return pb.StorageStats(
            total_videos=stats.by_kind.get(MediaKind.VIDEO, Usage()).count,
            total_size_bytes=size,
            total_size_mb=round(size / MEGA, 3),
            total_size_gb=round(size / GIGA, 6),
            by_kind=_by_kind(stats.by_kind),
            downloads=pb.DownloadCounts(
                completed=counts.completed, failed=counts.failed, retried=counts.retried, lost=counts.lost
            ),
            files=[_file(each) for each in stats.files.items],
            next_page_token=stats.files.next_token,
        )

    async def DeleteVideo(self, request: pb.DeleteVideoRequest, context: Context) -> Empty:
        await self._storing.delete(request.id)
        return Empty()

    async def CleanUpStorage(
        self, request: pb.CleanUpStorageRequest, context: Context
    ) -> pb.CleanUpStorageResponse:
        done = await self._storing.clean_up(request.older_than_days, dry_run=request.dry_run)
        return pb.CleanUpStorageResponse(
            dry_run=request.dry_run,
            generations=done.generations,
            files=done.total.count,
            size_bytes=done.total.size_bytes,
            by_kind=_by_kind(done.by_kind),
            ids=done.ids,
            more=done.more,
        )

    async def FindUnneeded(
        self, request: pb.FindUnneededRequest, context: Context
    ) -> pb.FindUnneededResponse:
        unneeded = await self._sweeping.unneeded(list(request.blob_keys))
        return pb.FindUnneededResponse(blob_keys=unneeded, system=await self._sweeping.system())

    async def ListNamedBlobs(
        self, request: pb.ListNamedBlobsRequest, context: Context
    ) -> pb.ListNamedBlobsResponse:
        page = await self._sweeping.named(page_request(request))
        return pb.ListNamedBlobsResponse(
            blobs=[pb.NamedBlob(id=each.id, blob_key=each.key) for each in page.items],
            next_page_token=page.next_token,
        )


def _by_kind(found: Mapping[MediaKind, Usage]) -> dict[str, pb.StorageUsage]:
    return {
        kind.value: pb.StorageUsage(count=usage.count, size_bytes=usage.size_bytes)
        for kind, usage in found.items()
    }


def _file(file: File) -> pb.StorageFile:
    return pb.StorageFile(
        id=file.media_id or file.job_id,
        kind=KINDS[file.kind],
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        url=media_url(file.media_id) if file.media_id else cut_url(file.job_id, file.version),
        generation_id=file.generation_id or None,
        job_id=file.job_id or None,
        version=file.version,
        created_at=stamp(file.created_at),
    )
