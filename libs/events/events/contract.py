"""Reads from the contracts which messages are events, and what their options say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from events.template import Template
from rushes.common.v1 import event_pb2
from rushes.events.v1 import events_pb2
from servicekit.errors import Invalid
from servicekit.events import Event


@dataclass(frozen=True)
class EventType:
    """What the contract says of one event.

    Args:
        name: `<entity>.<what happened>`.
        publisher: the service that publishes it.
        key: the rest of its subject.
        id: its id.
    """

    name: str
    publisher: str
    key: Template
    id: Template
    message: type[Message]


def _read() -> dict[str, EventType]:
    found = {}
    for descriptor in events_pb2.DESCRIPTOR.message_types_by_name.values():
        rules = descriptor.GetOptions().Extensions[event_pb2.event]
        if not rules.type:
            continue  # a part of events, such as `Output`
        found[rules.type] = EventType(
            name=rules.type,
            publisher=event_pb2.Publisher.Name(rules.publisher).removeprefix("PUBLISHER_").lower(),
            key=Template.parse(rules.key, descriptor),
            id=Template.parse(rules.id, descriptor),
            message=GetMessageClass(descriptor),
        )
    return found


EVENT_TYPES: Mapping[str, EventType] = _read()
"""Every event of the contracts, by its type."""

_BY_MESSAGE = {each.message.DESCRIPTOR.full_name: each for each in EVENT_TYPES.values()}


def event_type(message: Message) -> EventType:
    """What the contract says of a message.

    Raises:
        KeyError: it is no event.
    """
    return _BY_MESSAGE[message.DESCRIPTOR.full_name]


def message_of(event: Event) -> Message | None:
    """The body of an event as its message; None when the contracts do not know the type.

    Raises:
        Invalid: the bytes are not such a message.
    """
    known = EVENT_TYPES.get(event.type)
    if known is None:
        return None
    try:
        return known.message.FromString(event.data)
    except DecodeError as error:
        raise Invalid(f"event {event.id} ({event.type}) does not parse: {error}") from error
