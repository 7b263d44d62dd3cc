"""Shows events of the event log to outsiders: as JSON, without any address of the provider."""

from __future__ import annotations

from functools import cache
from typing import Any

import structlog

from events.contract import EVENT_TYPES, message_of
from gateway.edges.rest.transcoding.to_json import to_json
from rushes.common.v1 import event_pb2
from servicekit.errors import Invalid
from servicekit.events import Event
from servicekit.telemetry.logs import clean_text


def event_json(event: Event) -> Any | None:
    """The JSON of an event, or None when it is of no type we know, or does not parse."""
    try:
        message = message_of(event)
    except Invalid:
        structlog.get_logger(__name__).warning("event does not parse", type=event.type)
        return None
    return None if message is None else _public(to_json(message), message.DESCRIPTOR)


@cache
def known_types() -> frozenset[str]:
    """The type of every event, and every entity that events are about."""
    return frozenset(EVENT_TYPES) | {name.partition(".")[0] for name in EVENT_TYPES}


def _public(value: Any, descriptor: Any) -> Any:
    """The value without internal fields, and with addresses inside texts (of errors, say) cut short.

    `descriptor`: of the message that the value shows; None for what is no message.
    """
    if isinstance(value, dict):
        fields = descriptor.fields_by_name if descriptor is not None else {}
        shown = {}
        for name, item in value.items():
            field = fields.get(name)
            if field is None or not field.GetOptions().Extensions[event_pb2.internal]:
                shown[name] = _public(item, field.message_type if field is not None else None)
        return shown
    if isinstance(value, list):
        return [_public(item, descriptor) for item in value]
    return clean_text(value) if isinstance(value, str) and "://" in value else value
