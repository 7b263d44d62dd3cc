"""Translates `rushes.stitcher.v1.StitcherService` into use cases; servicekit makes statuses of errors."""

from __future__ import annotations

from grpc.aio import ServicerContext

from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.errors import Invalid
from stitcher.core.cuts.domain.edit import validate
from stitcher.core.thumbnails.make_thumbnail import MakeThumbnail
from stitcher.edges.edit_message import read_edit, with_defaults


class StitcherServicer(stitcher_pb2_grpc.StitcherServiceServicer):
    def __init__(self, make_thumbnail: MakeThumbnail) -> None:
        self._make_thumbnail = make_thumbnail

    async def CheckEdit(
        self,
        request: stitcher_pb2.CheckEditRequest,
        context: ServicerContext[stitcher_pb2.CheckEditRequest, stitcher_pb2.CheckEditResponse],
    ) -> stitcher_pb2.CheckEditResponse:
        timeline = validate(read_edit(request.edit))
        return stitcher_pb2.CheckEditResponse(
            edit=with_defaults(request.edit), duration_seconds=float(timeline.duration)
        )

    async def MakeThumbnail(
        self,
        request: stitcher_pb2.MakeThumbnailRequest,
        context: ServicerContext[stitcher_pb2.MakeThumbnailRequest, stitcher_pb2.MakeThumbnailResponse],
    ) -> stitcher_pb2.MakeThumbnailResponse:
        thumbnail = await self._make_thumbnail.run(
            request.blob_key, request.thumbnail_key, width=request.width
        )
        if thumbnail is None:
            raise Invalid(f"blob_key: {request.blob_key} is sound, which has no picture")
        return stitcher_pb2.MakeThumbnailResponse(
            thumbnail_key=thumbnail.key, content_type=thumbnail.content_type, size_bytes=thumbnail.size
        )
