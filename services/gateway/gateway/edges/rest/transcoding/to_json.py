"""Turns a message into plain JSON values, the way the API shows it.

| in the message | in the JSON |
| --- | --- |
| field | under its own name, snake_case |
| enum | its word in lower case, without the prefix; null when unspecified |
| 64-bit integer | a number |
| double that is not finite | null: JSON has no word for it |
| bytes | base 64 |
| Timestamp | RFC 3339, in UTC |
| Struct, Value, ListValue | what they stand for, whole numbers as integers |
| unset `optional` field, unset message, member of a oneof | null |
| repeated field, map | always there, perhaps empty |
| Empty | `{}` |
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.edges.rest.transcoding.descriptors import fields_of, is_map, map_fields, words

_EXACT = 2.0**53
"""Beyond it a double no longer tells whole numbers apart, so none is shown as an integer."""


def to_json(message: Message) -> Any:
    """The message's JSON value: a dict, but for the well-known types of the table above."""
    write_well_known = _WELL_KNOWN.get(message.DESCRIPTOR.full_name)
    if write_well_known is not None:
        return write_well_known(message)
    return {field.name: _field(message, field) for field in fields_of(message.DESCRIPTOR).values()}


def _field(message: Message, field: FieldDescriptor) -> Any:
    if is_map(field):
        _, value_field = map_fields(field)
        return {str(key): _value(value_field, item) for key, item in getattr(message, field.name).items()}
    if field.is_repeated:
        return [_value(field, item) for item in getattr(message, field.name)]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, getattr(message, field.name))


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return to_json(value)
    if field.enum_type is not None:
        return words(field.enum_type).get(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return float(f"{value:.9g}")  # nine digits tell all 32-bit floats apart
    return value


def _struct_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind in (None, "null_value"):
        return None
    inner = getattr(value, kind)
    if kind == "number_value":
        return _number(inner)
    return to_json(inner) if kind in ("struct_value", "list_value") else inner


def _number(number: float) -> float | int | None:
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": lambda message: message.ToJsonString(),
    "google.protobuf.Struct": lambda message: {k: _struct_value(v) for k, v in message.fields.items()},
    "google.protobuf.ListValue": lambda message: [_struct_value(item) for item in message.values],
    "google.protobuf.Value": _struct_value,
    "google.protobuf.Empty": lambda _: {},
}
