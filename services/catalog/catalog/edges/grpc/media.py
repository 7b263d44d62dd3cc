"""MediaService."""

# the contract names the methods, and documents them

from __future__ import annotations

from catalog.core.campaigns.service import Library, has_thumbnail
from catalog.core.shared.records import StoredObject
from catalog.core.storage.blob_locator import Locator
from catalog.edges.grpc.proto_mapping import Context, media_thumbnail_url, media_url, stamp
from catalog.proto_enums import facts_message
from rushes.catalog.v1 import media_pb2 as pb
from rushes.catalog.v1 import media_pb2_grpc
from servicekit.errors import Invalid

NAME = "rushes.catalog.v1.MediaService"


class MediaServicer(media_pb2_grpc.MediaServiceServicer):
    """Stored outputs, and where bytes lie."""

    def __init__(self, library: Library, locator: Locator) -> None:
        self._library = library
        self._locator = locator

    async def GetMedia(self, request: pb.GetMediaRequest, context: Context) -> pb.Media:
        media = await self._library.media(request.id)
        return pb.Media(
            id=media.id,
            generation_id=media.generation_id,
            index=media.index,
            facts=facts_message(media.facts),
            url=media_url(media.id),
            thumbnail_url=media_thumbnail_url(media.id) if has_thumbnail(media.facts.kind) else "",
            created_at=stamp(media.created_at),
        )

    async def LocateObject(self, request: pb.LocateObjectRequest, context: Context) -> pb.StoredObject:
        thumbnail = request.thumbnail
        match request.WhichOneof("object"):
            case "media_id":
                found = await self._locator.media(request.media_id, thumbnail=thumbnail)
            case "asset_id":
                found = await self._locator.asset(request.asset_id, thumbnail=thumbnail)
            case "clip":
                clip = request.clip
                found = await self._locator.clip(clip.job_id, clip.filename, thumbnail=thumbnail)
            case "cut":
                found = await self._locator.cut(request.cut.job_id, request.cut.version, thumbnail=thumbnail)
            case _:
                raise Invalid("name what to locate: media_id, asset_id, clip or cut")
        return _message(found)


def _message(found: StoredObject) -> pb.StoredObject:
    return pb.StoredObject(
        blob_key=found.blob_key,
        content_type=found.content_type,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        modified_at=stamp(found.modified_at),
        filename=found.filename,
    )
