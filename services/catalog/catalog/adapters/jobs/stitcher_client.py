"""Calls the stitcher over gRPC; the channel raises its errors as app errors."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.core.jobs.domain.model import EditDocument
from catalog.core.jobs.ports import CheckedEdit
from catalog.edit_message import edit_document, edit_message
from rushes.edit.v1 import edit_pb2
from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc


class GrpcStitcher:
    """`EditChecker`."""

    def __init__(self, stitcher: stitcher_pb2_grpc.StitcherServiceAsyncStub) -> None:
        self._stitcher = stitcher

    async def check(self, edit: EditDocument, clips: Sequence[tuple[str, float]]) -> CheckedEdit:
        request = stitcher_pb2.CheckEditRequest(edit=_with_clips(edit_message(edit), clips))
        answer = await self._stitcher.CheckEdit(request)
        return CheckedEdit(edit_document(answer.edit), answer.duration_seconds)


def _with_clips(edit: edit_pb2.Edit, clips: Sequence[tuple[str, float]]) -> edit_pb2.Edit:
    """The edit with a clip for each scene; one that is there already keeps its beginning, transition, fit."""
    before = {clip.scene_id: clip for clip in edit.clips}
    del edit.clips[:]
    for scene_id, seconds in clips:
        clip = edit.clips.add()
        if scene_id in before:
            clip.CopyFrom(before[scene_id])
        clip.scene_id = scene_id
        clip.out_seconds = clip.in_seconds + seconds
    if edit.clips:
        edit.clips[-1].ClearField("transition")  # no clip follows
    return edit
