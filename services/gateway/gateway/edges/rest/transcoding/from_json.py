"""Fills a message from plain JSON values, and names every problem by its field.

The other direction of `to_json`, and as strict as can be: an unknown field, a wrong type or a number out
of range is a problem, never a guess. Null leaves a field unset.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway.core.problems.domain import nearest_name, shorten, unknown_name
from gateway.edges.rest.transcoding.descriptors import fields_in, is_map, map_fields, words
from servicekit.errors import FieldProblem

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}

Problems = Iterator[FieldProblem]


def fill(message: Message, value: Any, at: str) -> Problems:
    """Fill the message and yield the problems one by one.

    Args:
        message: empty before.
        value: as `json.loads` gives it, not nested more deeply than the caller allows.
        at: the path of the message within the request, for the problems' names.
    """
    fill_well_known = _WELL_KNOWN.get(message.DESCRIPTOR.full_name)
    if fill_well_known is not None:
        yield from fill_well_known(message, value, at)
        return
    if not isinstance(value, dict):
        yield FieldProblem(at or "body", f"must be an object, and is {_kind(value)}")
        return
    fields = fields_in(message.DESCRIPTOR, "application/json")
    for name, item in value.items():
        where = f"{at}.{shorten(name)}" if at else shorten(name)
        if name not in fields:
            yield FieldProblem(where, unknown_name("field", name, fields))
        elif item is not None:
            yield from set_field(message, fields[name], item, where)


def set_field(message: Message, field: FieldDescriptor, value: Any, where: str) -> Problems:
    """Set one field from its JSON value."""
    if is_map(field):
        yield from _set_map(message, field, value, where)
    elif field.is_repeated:
        yield from _set_list(message, field, value, where)
    elif field.message_type is not None:
        nested = getattr(message, field.name)
        nested.SetInParent()
        yield from fill(nested, value, where)
    else:
        try:
            setattr(message, field.name, scalar(field, value))
        except _MismatchError as error:
            yield FieldProblem(where, str(error))


def scalar(field: FieldDescriptor, value: Any) -> Any:
    """The value of a field that holds no message.

    Raises:
        ValueError: the value does not fit; the text says what was expected.
    """
    if field.enum_type is not None:
        return _word(field.enum_type, value)
    return _SCALARS[field.cpp_type](field, value)


class _MismatchError(ValueError):
    """A value that does not fit its field."""


def _set_list(message: Message, field: FieldDescriptor, value: Any, where: str) -> Problems:
    if not isinstance(value, list):
        yield FieldProblem(where, f"must be a list, and is {_kind(value)}")
        return
    items = getattr(message, field.name)
    for index, item in enumerate(value):
        place = f"{where}[{index}]"
        if field.message_type is not None:
            yield from fill(items.add(), item, place)
        else:
            try:
                items.append(scalar(field, item))
            except _MismatchError as error:
                yield FieldProblem(place, str(error))


def _set_map(message: Message, field: FieldDescriptor, value: Any, where: str) -> Problems:
    if not isinstance(value, dict):
        yield FieldProblem(where, f"must be an object, and is {_kind(value)}")
        return
    key_field, value_field = map_fields(field)
    if key_field.cpp_type != FieldDescriptor.CPPTYPE_STRING:
        raise TypeError(f"{field.full_name}: maps with other keys than strings have no JSON here")
    entries = getattr(message, field.name)
    for key, item in value.items():
        place = f'{where}["{shorten(key)}"]'
        try:
            name = scalar(key_field, key)
            if value_field.message_type is not None:
                yield from fill(entries[name], item, place)
            else:
                entries[name] = scalar(value_field, item)
        except _MismatchError as error:
            yield FieldProblem(place, str(error))


def _word(enum: EnumDescriptor, value: Any) -> int:
    numbers = {word: number for number, word in words(enum).items()}
    if isinstance(value, str) and value in numbers:
        return numbers[value]
    close = nearest_name(value, numbers) if isinstance(value, str) else None
    hint = f": did you mean {close}?" if close else ""
    raise _MismatchError(f"must be one of {', '.join(numbers)}, and is {_describe(value)}{hint}")


def _integer(field: FieldDescriptor, value: Any) -> int:
    # 4.0 is a whole number: JSON has one kind of number only, and some writers always add the point.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _MismatchError(f"must be a whole number, and is {_describe(value)}")
    least, most = _INTEGERS[field.cpp_type]
    if not least <= value <= most:
        raise _MismatchError(f"must be a whole number from {least} to {most}")
    return value


def _double(_: FieldDescriptor, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _MismatchError(f"must be a number, and is {_describe(value)}")
    return _finite(value)


def _finite(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _MismatchError("must be a number that a 64-bit float can hold")
    return number


def _bool(_: FieldDescriptor, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _MismatchError(f"must be true or false, and is {_describe(value)}")
    return value


def _string(field: FieldDescriptor, value: Any) -> str | bytes:
    if not isinstance(value, str):
        raise _MismatchError(f"must be a text, and is {_describe(value)}")
    if field.type == FieldDescriptor.TYPE_BYTES:
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _MismatchError("must be base 64") from None
    return _text(value)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _MismatchError("must be Unicode: it holds half of a surrogate pair") from None
    return value


_SCALARS: dict[int, Callable[[FieldDescriptor, Any], Any]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
    FieldDescriptor.CPPTYPE_FLOAT: _double,
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_STRING: _string,
}


def _timestamp(message: Any, value: Any, at: str) -> Problems:
    try:
        if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
            raise ValueError
        message.FromJsonString(value)
    except ValueError:
        yield FieldProblem(
            at, f"must be a time such as 2026-01-31T12:00:00Z (RFC 3339), and is {_describe(value)}"
        )


def _struct(message: Any, value: Any, at: str) -> Problems:
    if not isinstance(value, dict):
        yield FieldProblem(at, f"must be an object, and is {_kind(value)}")
        return
    for key, item in value.items():
        where = f"{at}.{shorten(key)}"
        try:
            nested = message.fields[_text(key)]
        except _MismatchError as error:
            yield FieldProblem(where, str(error))
        else:
            yield from _value(nested, item, where)


def _list_value(message: Any, value: Any, at: str) -> Problems:
    if not isinstance(value, list):
        yield FieldProblem(at, f"must be a list, and is {_kind(value)}")
        return
    for index, item in enumerate(value):
        yield from _value(message.values.add(), item, f"{at}[{index}]")


def _value(message: Any, value: Any, at: str) -> Problems:
    try:
        if value is None:
            message.null_value = 0
        elif isinstance(value, bool):
            message.bool_value = value
        elif isinstance(value, int | float):
            message.number_value = _finite(value)
        elif isinstance(value, str):
            message.string_value = _text(value)
        elif isinstance(value, list):
            message.list_value.SetInParent()
            yield from _list_value(message.list_value, value, at)
        else:
            message.struct_value.SetInParent()
            yield from _struct(message.struct_value, value, at)
    except _MismatchError as error:
        yield FieldProblem(at, str(error))


def _empty(_: Any, value: Any, at: str) -> Problems:
    if value != {}:
        yield FieldProblem(at or "body", "must be an empty object")


_WELL_KNOWN: dict[str, Callable[[Any, Any, str], Problems]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Value": _value,
    "google.protobuf.Empty": _empty,
}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number"}
    return {**names, str: "a text", list: "a list", dict: "an object"}[type(value)]


def _describe(value: Any) -> str:
    """The value as an error shows it: short texts and numbers themselves, all else by its kind."""
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**20):
        return str(value).lower()
    return _kind(value)
