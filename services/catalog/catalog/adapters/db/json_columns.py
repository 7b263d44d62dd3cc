"""Values as JSON documents and back, by their own type hints: what no query looks into is one column."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def dump(value: Any) -> Any:
    """A dataclass (of dataclasses, tuples, enums, mappings and plain values) as JSON; None stays None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: dump(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: dump(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [dump(item) for item in value]
    return value


def load(cls: type[T], document: Mapping[str, Any]) -> T:
    """The dataclass that `dump` wrote. Fields that the document lacks take their defaults."""
    hints = _hints(typing.cast("Hashable", cls))
    made = {name: _value(kind, document[name]) for name, kind in hints.items() if name in document}
    return cls(**made)


def load_optional(cls: type[T], document: Mapping[str, Any] | None) -> T | None:
    """As `load`; None for null."""
    return None if document is None else load(cls, document)


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _value(kind: Any, raw: Any) -> Any:
    origin = typing.get_origin(kind)
    if raw is None:
        return None
    if origin is types.UnionType or origin is typing.Union:
        (kind,) = (each for each in typing.get_args(kind) if each is not types.NoneType)
        return _value(kind, raw)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_value(item, each) for each in raw)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return load(kind, raw)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(raw)
    return raw
