"""An event, and how its attributes stand in the headers of a message (CloudEvents)."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from nats.aio.msg import Msg

from servicekit.errors import FieldProblem, Invalid
from servicekit.events.lease import AlwaysFresh, Lease

MESSAGE_ID = "Nats-Msg-Id"
"""JetStream drops a second message with the same value within the stream's duplicate window."""

_REF = re.compile(r"ce-([a-z]+)id")
"""The header of a reference to a record: of that kind."""

_TYPE = re.compile(r"[a-z_]+\.[a-z_]+")
_KEY = re.compile(r"[A-Za-z0-9_\-:]+(\.[A-Za-z0-9_\-:]+)*")


M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Event:
    """One event, to be published or as received.

    Args:
        id: deterministic, so that publishing it twice stores it once.
        type: `<entity>.<what happened>`, such as "prediction.succeeded".
        key: the last tokens of the subject: an id ("gen_…"), or a provider and an id ("replicate.gen_…").
        data: the serialized message; which one is a matter of the type.
        source: the service that publishes it; set on publish when empty.
        time: when it happened (UTC); set on publish when None.
        refs: kinds of records ("job") → id, for readers that follow one of them.
        traceparent: W3C; set on receipt, taken from the current span on publish when empty.
        sequence: on receipt, its position in the log; 0 before.
        deliveries: on receipt, how many times this consumer was given it, this one included.
        lease: on receipt through a consumer, see `Lease`.
    """

    id: str
    type: str
    key: str
    data: bytes = b""
    source: str = ""
    time: datetime | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    sequence: int = 0
    deliveries: int = 1
    lease: Lease = field(default_factory=AlwaysFresh, compare=False, repr=False)

    @property
    def subject(self) -> str:
        """`<type>.<key>`."""
        return f"{self.type}.{self.key}"

    def message(self, cls: builtins.type[M]) -> M:
        """Its data as a message of that class; Invalid when it does not parse."""
        try:
            return cls.FromString(self.data)
        except DecodeError as error:
            raise Invalid(f"event {self.id} ({self.type}) holds no {cls.__name__}: {error}") from error


def check(event: Event) -> None:
    """Refuse an event that could not be published or found again; Invalid names each wrong field."""
    problems = []
    if not event.id or not event.id.isprintable() or " " in event.id:
        problems.append(FieldProblem("id", f"{event.id!r} is no event id: printable, without spaces"))
    if not _TYPE.fullmatch(event.type):
        problems.append(
            FieldProblem("type", f"{event.type!r} is no event type: <entity>.<what happened>, lower case")
        )
    if not _KEY.fullmatch(event.key):
        problems.append(FieldProblem("key", f"{event.key!r} is no key: an id, or tokens joined by dots"))
    if wrong := [name for name in event.refs if not _REF.fullmatch(f"ce-{name}id")]:
        problems.append(
            FieldProblem("refs", f"{', '.join(wrong)}: kinds of records are of lower-case letters")
        )
    if problems:
        raise Invalid("; ".join(f"{p.field}: {p.message}" for p in problems), fields=problems)


def to_headers(event: Event) -> dict[str, str]:
    """The event's attributes as message headers; `source` and `time` must be set."""
    headers = {
        MESSAGE_ID: event.id,
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-type": event.type,
        "ce-source": event.source,
        "ce-subject": event.key,
    }
    if event.time is not None:
        headers["ce-time"] = event.time.isoformat()
    headers.update({f"ce-{name}id": value for name, value in event.refs.items() if value})
    if event.traceparent:
        headers["traceparent"] = event.traceparent
    return headers


def from_message(message: Msg, *, lease: Lease | None = None) -> Event:
    """The event in a delivered message. Without our headers, subject and sequence stand for type and id."""
    headers = message.headers or {}
    tokens = message.subject.split(".")
    type_ = headers.get("ce-type") or ".".join(tokens[:2])
    key = message.subject.removeprefix(f"{type_}.")
    metadata = message.metadata
    return Event(
        id=headers.get("ce-id") or f"{metadata.stream}:{metadata.sequence.stream}",
        type=type_,
        key=key,
        data=message.data,
        source=headers.get("ce-source", ""),
        time=_time(headers.get("ce-time", "")),
        refs={found[1]: value for name, value in headers.items() if (found := _REF.fullmatch(name))},
        traceparent=headers.get("traceparent", ""),
        sequence=metadata.sequence.stream,
        deliveries=metadata.num_delivered,
        lease=lease or AlwaysFresh(),
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
