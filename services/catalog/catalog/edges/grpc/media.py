"""Serves MediaService. The contract documents its methods."""

from __future__ import annotations

from catalog.core.storage.domain.files import StoredObject
from catalog.core.storage.media import MediaService
from catalog.edges.grpc.proto_mapping import Context, media_thumbnail_url, media_url, timestamp
from catalog.proto_enums import facts_to_proto
from rushes.catalog.v1 import media_pb2 as pb
from rushes.catalog.v1 import media_pb2_grpc
from servicekit.errors import Invalid


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    def __init__(self, media: MediaService) -> None:
        self._media = media

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.Media:
        media = await self._media.get(request.id)
        return pb.Media(
            id=media.id,
            generation_id=media.generation_id,
            index=media.index,
            facts=facts_to_proto(media.facts),
            url=media_url(media.id),
            thumbnail_url=media_thumbnail_url(media.id) if media.facts.kind.has_thumbnail else "",
            created_at=timestamp(media.created_at),
        )

    async def LocateObject(self, request: pb.LocateObjectRequest, context: Context) -> pb.StoredObject:
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
        return _message(found)


def _message(found: StoredObject) -> pb.StoredObject:
    return pb.StoredObject(
        blob_key=found.blob_key,
        content_type=found.content_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        modified_at=timestamp(found.modified_at),
        filename=found.filename,
    )
