"""Maps frozen dataclasses to rows of a table and back, by the names that fields and columns share.

A field that is no column (parts that have tables of their own) and a column that is no field (one that is
derived for an index) are given by the caller, by name.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, Table

from catalog.adapters.db.json_columns import dump

T = TypeVar("T")


def to_row(table: Table, record: Any, **columns: Any) -> dict[str, Any]:
    """The columns that the record has fields for, and `columns` beside or instead of them."""
    names = (name for name in _fields(type(record)) if name in table.c and name not in columns)
    return {name: _column(getattr(record, name)) for name in names} | columns


def from_row(cls: type[T], row: Row[Any], **fields: Any) -> T:
    """The record of a row, with `fields` beside or instead of the row's columns.

    Raises:
        msgspec.ValidationError: a column holds what the field's type does not allow.
    """
    columns = row._mapping  # noqa: SLF001  # public in spite of its name, and free of a row's own methods
    found = {name: columns[name] for name in _fields(cls) if name in columns}
    return msgspec.convert(found | fields, cls)


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The columns of `after` that have other values in `before`."""
    return {name: value for name, value in after.items() if value != before[name]}


def _column(value: Any) -> Any:
    return value if isinstance(value, datetime) else dump(value)  # the column types take times


def _fields(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]
