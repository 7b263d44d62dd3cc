"""Shows events of the event log to outsiders: as JSON, without any address of the provider."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import structlog
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from gateway.edges.rest.transcoding.comments import comments
from gateway.edges.rest.transcoding.to_json import to_json
from rushes.events.v1 import events_pb2
from servicekit.logs import clean_text

_EVENT = re.compile(r"`([a-z_]+\.[a-z_]+)`, by ")
"""How the comment over an event's message begins: its type, and who publishes it."""

_HIDDEN = frozenset({"source_url"})
"""Fields that contain an address at the provider: whoever has it needs no key."""


def event_json(type_: str, data: bytes) -> Any | None:
    """The JSON of an event, or None when it is of no type we know, or does not parse.

    Args:
        type_: the event's type, "prediction.succeeded": its message is `PredictionSucceeded`.
        data: the message's bytes.
    """
    descriptor = events_pb2.DESCRIPTOR.message_types_by_name.get(message_name(type_))
    if descriptor is None:
        return None
    message = message_factory.GetMessageClass(descriptor)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        structlog.get_logger(__name__).warning("event does not parse", type=type_)
        return None
    return _public(to_json(message))


@cache
def known_types() -> frozenset[str]:
    """The type of every event, and every entity that events are about."""
    matches = (
        _EVENT.match(comments().get(message.full_name, ""))
        for message in events_pb2.DESCRIPTOR.message_types_by_name.values()
    )
    types = {match[1] for match in matches if match}
    return frozenset(types | {type_.partition(".")[0] for type_ in types})


def message_name(type_: str) -> str:
    """The message of an event's type: `generation.cancel_requested` → GenerationCancelRequested."""
    return "".join(word.capitalize() for word in type_.replace(".", "_").split("_"))


def _public(value: Any) -> Any:
    """The value without hidden fields, and with addresses inside texts (of errors, say) cut short."""
    if isinstance(value, dict):
        return {name: _public(item) for name, item in value.items() if name not in _HIDDEN}
    if isinstance(value, list):
        return [_public(item) for item in value]
    return clean_text(value) if isinstance(value, str) and "://" in value else value
