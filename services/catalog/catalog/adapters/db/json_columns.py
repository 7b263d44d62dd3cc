"""Stores dataclasses as JSON documents and reads them back: what no query looks into is one column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def dump(value: Any) -> Any:
    """A dataclass (of dataclasses, tuples, enums, mappings, times and plain values) as JSON can hold it."""
    return msgspec.to_builtins(value)


def load(cls: type[T], document: Mapping[str, Any]) -> T:
    """The dataclass that `dump` wrote.

    Fields that the document lacks take their defaults, and fields that the class lacks are passed over, so
    documents outlive a change of the class in both directions.

    Raises:
        msgspec.ValidationError: a value is not of the field's type.
    """
    return msgspec.convert(document, cls)
