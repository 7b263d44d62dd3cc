"""`CheckEdit` over gRPC: an edit is judged before anything is stored, or paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio

from rushes.edit.v1 import edit_pb2
from rushes.stitcher.v1 import stitcher_pb2, stitcher_pb2_grpc
from servicekit.clock import SystemClock
from servicekit.errors import Invalid
from servicekit.grpc.client import open_channel
from servicekit.grpc.server import GrpcServer
from stitcher.core.thumbnails.make_thumbnail import MakeThumbnail
from stitcher.edges.edit_message import with_defaults
from stitcher.edges.grpc import StitcherServicer


@pytest_asyncio.fixture
async def stub() -> AsyncIterator[stitcher_pb2_grpc.StitcherServiceStub]:
    servicer = StitcherServicer(cast("MakeThumbnail", None))
    server = GrpcServer("127.0.0.1:0", [servicer], clock=SystemClock(), service="stitcher")
    await server.start()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield stitcher_pb2_grpc.StitcherServiceStub(channel)
    await server.stop()


def planned(*seconds: float) -> edit_pb2.Edit:
    """The edit of a job whose scenes are planned and not rendered."""
    edit = edit_pb2.Edit(
        width=320, height=180, fps=24, clips=[edit_pb2.Clip(out_seconds=each) for each in seconds]
    )
    edit.transition.kind = edit_pb2.TRANSITION_KIND_CROSSFADE
    edit.music.prompt = "a waltz"
    return edit


async def test_an_edit_that_can_be_cut_is_answered_with_its_length_and_its_defaults(
    stub: stitcher_pb2_grpc.StitcherServiceStub,
) -> None:
    edit = planned(4, 4, 2.5)
    answer = await stub.CheckEdit(stitcher_pb2.CheckEditRequest(edit=edit))
    assert answer.duration_seconds == 10.5 - 2 * 0.5
    assert answer.edit == with_defaults(edit)


async def test_an_edit_that_cannot_be_cut_is_refused_by_field(
    stub: stitcher_pb2_grpc.StitcherServiceStub,
) -> None:
    async def problems(edit: edit_pb2.Edit) -> list[str]:
        with pytest.raises(Invalid) as refused:
            await stub.CheckEdit(stitcher_pb2.CheckEditRequest(edit=edit))
        return [problem.field for problem in refused.value.fields]

    assert await problems(planned(4, 0.75, 4)) == ["edit.clips[1].out_seconds"]
    assert await problems(planned()) == ["edit.clips"]
    texts = planned(4)
    texts.texts.add(text="hello")
    assert await problems(texts) == ["edit.texts"]
    slow = planned(4)
    slow.fps = 0
    assert await problems(slow) == ["edit.fps"]
