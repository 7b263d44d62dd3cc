"""What every servicer needs to translate: times, money, objects, pages, and the addresses people see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import PAGE
from catalog.core.shared.values import MICROS_PER_CENT, MediaKind
from catalog.proto_enums import KIND_OF
from rushes.common.v1 import media_pb2
from servicekit.grpc.limits import PAGE_LIMIT

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


class Paged(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def page_request(request: Paged) -> PageRequest:
    """Which page is asked for."""
    return PageRequest(request.page_size, request.page_token)


async def page_within(
    request: Paged, ask: Callable[[PageRequest], Awaitable[Answer]], *, limit: int = PAGE_LIMIT
) -> Answer:
    """The page that `ask` answers, of fewer records when they are too large together for a message.

    Inputs and metadata may have a megabyte each. The page's own token says where the next one begins, so a
    shorter page loses nothing.
    """
    paging = page_request(request)
    while True:
        answer = await ask(paging)
        if answer.ByteSize() <= limit or paging.size == 1:
            return answer
        paging = replace(paging, size=max((paging.size or PAGE) // 2, 1))


def stamp(at: datetime | None) -> Timestamp | None:
    """A time as a message."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message


def moment(message: Timestamp) -> datetime:
    """A time from a message."""
    return message.ToDatetime(tzinfo=UTC)


def cents(micros: int) -> float:
    """Micro-dollars in cents."""
    return micros / MICROS_PER_CENT


def struct(value: Mapping[str, Any] | None) -> Struct | None:
    """An object as a message; None stays unset."""
    if value is None:
        return None
    return json_format.ParseDict(dict(value), Struct())


def mapping(message: Struct) -> dict[str, Any]:
    """An object from a message."""
    return json_format.MessageToDict(message)


def kind_filter(value: media_pb2.MediaKind.ValueType) -> MediaKind | None:
    """A filter by kind; unspecified is none."""
    kind = KIND_OF.get(value, MediaKind.UNKNOWN)
    return None if kind is MediaKind.UNKNOWN else kind


def asset_url(asset_id: str) -> str:
    """Where an asset's bytes can be read."""
    return f"/api/v3/assets/{asset_id}/data"


def asset_thumbnail_url(asset_id: str) -> str:
    """Where an asset's small picture can be read."""
    return f"/api/v3/assets/{asset_id}/thumbnail"


def media_url(media_id: str) -> str:
    """Where an output's bytes can be read."""
    return f"/api/v3/media/{media_id}"


def media_thumbnail_url(media_id: str) -> str:
    """Where an output's poster can be read."""
    return f"/api/v3/media/{media_id}/thumbnail"


def clip_name(position: int, media_id: str) -> str:
    """The file name of a clip."""
    return f"scene-{position}-{media_id}.mp4"


def clip_url(job_id: str, position: int, media_id: str) -> str:
    """Where a clip can be played."""
    return f"/api/v3/videos/{job_id}/clips/{clip_name(position, media_id)}"


def cut_url(job_id: str, version: int) -> str:
    """Where a cut can be played."""
    return f"/api/v3/videos/{job_id}/combined?version={version}"


def poster_url(job_id: str, version: int) -> str:
    """Where a cut's poster can be read."""
    return f"/api/v3/videos/{job_id}/thumbnail?version={version}"
