"""Facts of the event log as outsiders may see them: JSON without any address of the provider."""

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

_FACT = re.compile(r"`([a-z_]+\.[a-z_]+)`, by ")
"""How the comment over a fact's message begins: its type, and who says it."""

_HIDDEN = frozenset({"source_url"})
"""Fields that hold an address at the provider: whoever has it needs no key."""


def fact_json(type_: str, data: bytes) -> Any | None:
    """The JSON of a fact, or None when it is of no type we know, or does not parse.

    Args:
        type_: the fact's type, "prediction.succeeded": its message is `PredictionSucceeded`.
        data: the message's bytes.
    """
    descriptor = events_pb2.DESCRIPTOR.message_types_by_name.get(message_name(type_))
    if descriptor is None:
        return None
    message = message_factory.GetMessageClass(descriptor)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        structlog.get_logger(__name__).warning("fact does not parse", type=type_)
        return None
    return _public(to_json(message))


@cache
def known_types() -> frozenset[str]:
    """The type of every fact, and every entity that facts are about."""
    told = (
        _FACT.match(comments().get(m.full_name, ""))
        for m in events_pb2.DESCRIPTOR.message_types_by_name.values()
    )
    types = {found[1] for found in told if found}
    return frozenset(types | {type_.partition(".")[0] for type_ in types})


def message_name(type_: str) -> str:
    """The message of a fact's type: `generation.cancel_requested` → GenerationCancelRequested."""
    return "".join(word.capitalize() for word in type_.replace(".", "_").split("_"))


def _public(value: Any) -> Any:
    """The value without hidden fields, and with addresses inside texts (of errors, say) cut short."""
    if isinstance(value, dict):
        return {name: _public(held) for name, held in value.items() if name not in _HIDDEN}
    if isinstance(value, list):
        return [_public(held) for held in value]
    return clean_text(value) if isinstance(value, str) and "://" in value else value
