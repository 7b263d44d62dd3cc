"""Serves MediaService and StorageService. The contracts document their methods."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from catalog.core.shared.domain import MediaKind
from catalog.core.storage.admin import StorageAdmin
from catalog.core.storage.domain.files import StoredFile, StoredObject, Usage, UsageByKind
from catalog.core.storage.media import MediaService
from catalog.core.storage.orphans import OrphanFinder
from catalog.edges.grpc import proto_mapping
from catalog.edges.grpc.proto_mapping import Context, page_request
from catalog.proto_enums import PROTO_KINDS, timestamp
from rushes.catalog.v1 import media_pb2 as media_pb
from rushes.catalog.v1 import media_pb2_grpc, storage_pb2_grpc
from rushes.catalog.v1 import storage_pb2 as pb
from servicekit.errors import Invalid

MEGA, GIGA = 10**6, 10**9


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def GetMedia(self, request: media_pb.GetMediaRequest, context: Context) -> media_pb.Media:
        media = await self._media.get(request.id)
        return proto_mapping.media_message(
            media.id, media.generation_id, media.index, media.facts, media.created_at
        )

    async def LocateObject(
        self, request: media_pb.LocateObjectRequest, context: Context
    ) -> media_pb.StoredObject:
        thumbnail = request.thumbnail
        match request.WhichOneof("object"):
            case "media_id":
                found = await self._media.locate_media(request.media_id, thumbnail=thumbnail)
            case "asset_id":
                found = await self._media.locate_asset(request.asset_id, thumbnail=thumbnail)
            case "clip":
                clip = request.clip
                found = await self._media.locate_clip(clip.job_id, clip.filename, thumbnail=thumbnail)
            case "cut":
                cut = request.cut
                found = await self._media.locate_cut(cut.job_id, cut.version, thumbnail=thumbnail)
            case _:
                raise Invalid("name what to locate: media_id, asset_id, clip or cut")
        return _located(found)


class StorageServicer(storage_pb2_grpc.StorageServiceServicer):
    def __init__(self, storage_admin: StorageAdmin, orphan_finder: OrphanFinder) -> None:
        self._storage_admin = storage_admin
        self._orphan_finder = orphan_finder

    async def GetStorageStats(self, request: pb.GetStorageStatsRequest, context: Context) -> pb.StorageStats:
        stats = await self._storage_admin.stats(page_request(request))
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
        await self._storage_admin.delete(request.id)
        return Empty()

    async def CleanUpStorage(
        self, request: pb.CleanUpStorageRequest, context: Context
    ) -> pb.CleanUpStorageResponse:
        result = await self._storage_admin.clean_up(request.older_than_days, dry_run=request.dry_run)
        return pb.CleanUpStorageResponse(
            dry_run=request.dry_run,
            generations=result.generations,
            files=result.total.count,
            size_bytes=result.total.size_bytes,
            by_kind=_by_kind(result.by_kind),
            ids=result.ids,
            more=result.more,
        )

    async def FindUnneeded(
        self, request: pb.FindUnneededRequest, context: Context
    ) -> pb.FindUnneededResponse:
        orphans = await self._orphan_finder.orphans_among(list(request.blob_keys))
        return pb.FindUnneededResponse(blob_keys=orphans, system=await self._orphan_finder.system_id())

    async def ListNamedBlobs(
        self, request: pb.ListNamedBlobsRequest, context: Context
    ) -> pb.ListNamedBlobsResponse:
        page = await self._orphan_finder.named_blobs(page_request(request))
        return pb.ListNamedBlobsResponse(
            blobs=[pb.NamedBlob(id=each.id, blob_key=each.key) for each in page.items],
            next_page_token=page.next_token,
        )


def _located(found: StoredObject) -> media_pb.StoredObject:
    return media_pb.StoredObject(
        blob_key=found.blob_key,
        content_type=found.content_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        modified_at=timestamp(found.modified_at),
        filename=found.filename,
    )


def _by_kind(usage: UsageByKind) -> dict[str, pb.StorageUsage]:
    return {
        kind.value: pb.StorageUsage(count=used.count, size_bytes=used.size_bytes)
        for kind, used in usage.items()
    }


def _file(file: StoredFile) -> pb.StorageFile:
    return pb.StorageFile(
        id=file.media_id or file.job_id,
        kind=PROTO_KINDS[file.kind],
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        url=proto_mapping.media_url(file.media_id)
        if file.media_id
        else proto_mapping.cut_url(file.job_id, file.version),
        generation_id=file.generation_id or None,
        job_id=file.job_id or None,
        version=file.version,
        created_at=timestamp(file.created_at),
    )
