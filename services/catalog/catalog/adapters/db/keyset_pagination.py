"""Reads pages by key: each begins after the last row of the page before, so all pages cost the same."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from servicekit.errors import Invalid

T = TypeVar("T")


def encode(*values: str | int | datetime) -> str:
    """The page token for the row with these key values."""
    text = json.dumps(values, default=datetime.isoformat)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(token: str, *kinds: type) -> tuple[Any, ...]:
    """The key values of a token; Invalid when it is none of ours."""
    try:
        padded = token + "=" * (-len(token) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        return tuple(_value(value, kind) for value, kind in zip(values, kinds, strict=True))
    except (binascii.Error, ValueError, TypeError) as error:
        message = f"{token[:40]!r} is no page token; pass next_page_token of the page before, or none"
        raise Invalid.field("page_token", message) from error


def _value(value: Any, kind: type) -> Any:
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise ValueError(f"{value} lacks its time zone")
        return at
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


async def page_of(
    connection: AsyncConnection,
    query: Select[Any],
    key: tuple[Column[Any], ...],
    paging: PageRequest,
    make: Callable[[Row[Any]], T],
) -> Page[T]:
    """A page of the query's rows, the greatest keys first: an id sorts by time, so that is newest first."""
    size = paging.size or DEFAULT_PAGE_SIZE
    if paging.token:
        query = query.where(tuple_(*key) < decode(paging.token, *(column.type.python_type for column in key)))
    ordered = query.order_by(*(column.desc() for column in key))
    found = (await connection.execute(ordered.limit(size + 1))).all()
    items = tuple(make(row) for row in found[:size])
    if len(found) <= size:
        return Page(items)
    last = found[size - 1]._mapping  # noqa: SLF001  # public in spite of its name
    return Page(items, encode(*(last[column] for column in key)))
