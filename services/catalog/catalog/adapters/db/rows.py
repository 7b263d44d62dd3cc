"""Maps frozen dataclasses to rows of a table and back, by the names that fields and columns share.

A field that is no column (parts that have tables of their own) and a column that is no field (one that is
derived for an index) are given by the caller, by name. What no query looks into is one column of JSON: fields
that a document lacks take their defaults, and fields that the class lacks are passed over, so that documents
outlive a change of the class in both directions.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Row, Table

from catalog.core.shared.domain import RunSpec

T = TypeVar("T")

_REFERENCE = re.compile(r"asset:(ast_[0-9A-Z]{26})")


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


def make_run(document: Mapping[str, Any]) -> RunSpec:
    """The run of a document. For an old one, every asset that its input names anywhere is a file.

    Otherwise a run that was recorded, or planned, before the upgrade would be submitted with the text
    `asset:<id>` in place of its photo.
    """
    run = msgspec.convert(document, RunSpec)
    if "assets" in document:
        return run
    return dataclasses.replace(run, assets=tuple(dict.fromkeys(_asset_ids(run.input))))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The columns of `after` that have other values in `before`."""
    return {name: value for name, value in after.items() if value != before[name]}


def _column(value: Any) -> Any:
    return value if isinstance(value, datetime) else msgspec.to_builtins(value)  # the column types take times


def _fields(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _asset_ids(value: Any) -> Iterator[str]:
    if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        yield match[1]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _asset_ids(part)
