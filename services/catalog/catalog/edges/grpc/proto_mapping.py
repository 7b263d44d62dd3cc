"""What every servicer needs to translate: money, objects, pages, and the addresses people see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from catalog.core.shared.domain import MICROS_PER_CENT, Facts, MediaKind
from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from catalog.proto_enums import KIND_FROM_PROTO, facts_to_proto, timestamp
from rushes.catalog.v1 import media_pb2 as catalog_media_pb2
from rushes.common.v1 import media_pb2
from servicekit.grpc.limits import PAGE_LIMIT

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")
Answer = TypeVar("Answer", bound=Message)


class Paged(Protocol):
    """A message that requests a page."""

    page_size: int
    page_token: str


def page_request(request: Paged) -> PageRequest:
    return PageRequest(request.page_size, request.page_token)


async def page_that_fits(
    request: Paged,
    fetch: Callable[[PageRequest], Awaitable[Page[T]]],
    message: Callable[[Page[T]], Answer],
) -> Answer:
    """The message of the requested page, of fewer records when they are too large together for one.

    Inputs and metadata may have a megabyte each. The page's own token says where the next one begins, so a
    shorter page loses nothing.
    """
    paging = page_request(request)
    while True:
        answer = message(await fetch(paging))
        if answer.ByteSize() <= PAGE_LIMIT or paging.size == 1:
            return answer
        paging = replace(paging, size=max((paging.size or DEFAULT_PAGE_SIZE) // 2, 1))


def given_fields(request: Message, *names: str) -> dict[str, Any]:
    """Those of these optional fields that the request sets; objects as dictionaries."""
    given = {name: getattr(request, name) for name in names if request.HasField(name)}
    return {
        name: struct_to_dict(value) if isinstance(value, Struct) else value for name, value in given.items()
    }


def cents(micros: int) -> float:
    """Micro-dollars in cents."""
    return micros / MICROS_PER_CENT


def dict_to_struct(value: Mapping[str, Any] | None) -> Struct | None:
    return None if value is None else json_format.ParseDict(dict(value), Struct())


def struct_to_dict(message: Struct) -> dict[str, Any]:
    return json_format.MessageToDict(message)


def media_kind_filter(value: media_pb2.MediaKind.ValueType) -> MediaKind | None:
    """A filter by kind; unspecified is none."""
    kind = KIND_FROM_PROTO.get(value, MediaKind.UNKNOWN)
    return None if kind is MediaKind.UNKNOWN else kind


def media_message(
    media_id: str, generation_id: str, index: int, facts: Facts, created_at: datetime
) -> catalog_media_pb2.Media:
    return catalog_media_pb2.Media(
        id=media_id,
        generation_id=generation_id,
        index=index,
        facts=facts_to_proto(facts),
        url=media_url(media_id),
        thumbnail_url=f"{media_url(media_id)}/thumbnail" if facts.kind.has_thumbnail else "",
        created_at=timestamp(created_at),
    )


def asset_url(asset_id: str) -> str:
    return f"/api/v3/assets/{asset_id}/data"


def asset_thumbnail_url(asset_id: str) -> str:
    return f"/api/v3/assets/{asset_id}/thumbnail"


def media_url(media_id: str) -> str:
    return f"/api/v3/media/{media_id}"


def clip_url(job_id: str, position: int, media_id: str) -> str:
    """The file name in it is read again by `MediaService.locate_clip`."""
    return f"/api/v3/videos/{job_id}/clips/scene-{position}-{media_id}.mp4"


def cut_url(job_id: str, version: int) -> str:
    return f"/api/v3/videos/{job_id}/combined?version={version}"


def cut_thumbnail_url(job_id: str, version: int) -> str:
    return f"/api/v3/videos/{job_id}/thumbnail?version={version}"
