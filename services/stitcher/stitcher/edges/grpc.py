"""Translates `rushes.stitcher.v1.StitcherService` into use cases."""

from __future__ import annotations

from grpc.aio import ServicerContext

from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.errors import Invalid
from stitcher.core.make_thumbnail import MakeThumbnail

SERVICE = stitcher_pb2.DESCRIPTOR.services_by_name["StitcherService"].full_name


class StitcherServicer(stitcher_pb2_grpc.StitcherServiceServicer):
    """The RPCs; errors of the core become statuses in servicekit's interceptor."""

    def __init__(self, make_thumbnail: MakeThumbnail) -> None:
        self._make_thumbnail = make_thumbnail

    async def MakeThumbnail(
        self,
        request: stitcher_pb2.MakeThumbnailRequest,
        context: ServicerContext[stitcher_pb2.MakeThumbnailRequest, stitcher_pb2.MakeThumbnailResponse],
    ) -> stitcher_pb2.MakeThumbnailResponse:
        """Make the small picture of a stored file, or answer the one that is there."""
        made = await self._make_thumbnail.run(request.blob_key, request.thumbnail_key, width=request.width)
        if made is None:
            raise Invalid(f"blob_key: {request.blob_key} is sound, which has no picture")
        return stitcher_pb2.MakeThumbnailResponse(
            thumbnail_key=made.key, content_type=made.content_type, size_bytes=made.size
        )
