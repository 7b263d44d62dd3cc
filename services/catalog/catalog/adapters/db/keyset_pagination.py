"""Pages by key: each begins after the last row of the one before, so the last costs what the first does."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, true
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.core.shared.ports import PageRequest
from catalog.core.shared.records import PAGE, Page
from servicekit.errors import FieldProblem, Invalid

T = TypeVar("T")


def encode(*values: object) -> str:
    """An opaque token for the row with these key values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(token: str, *kinds: type) -> list[Any]:
    """The key values of a token; Invalid when it is none of ours."""
    try:
        padded = token + "=" * (-len(token) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _wrong(token) from error
    fits = isinstance(values, list) and [type(value) for value in values] == list(kinds)
    if not fits:
        raise _wrong(token)
    return list(values)


def _wrong(token: str) -> Invalid:
    message = f"{token[:40]!r} is no page token; pass next_page_token of the page before, or none"
    return Invalid(f"page_token: {message}", fields=[FieldProblem("page_token", message)])


def before(table: Table, paging: PageRequest) -> ColumnElement[bool]:
    """The condition that begins the page, for lists that go by descending id."""
    if not paging.token:
        return true()
    (last,) = decode(paging.token, str)
    older: ColumnElement[bool] = table.c.id < last
    return older


async def page_of(
    connection: AsyncConnection,
    query: Select[Any],
    table: Table,
    paging: PageRequest,
    make: Callable[[Row[Any]], T],
) -> Page[T]:
    """The page of a query over `table` (its conditions are set), newest first."""
    size = paging.size or PAGE
    found = (
        await connection.execute(
            query.where(before(table, paging)).order_by(table.c.id.desc()).limit(size + 1)
        )
    ).all()
    items = tuple(make(row) for row in found[:size])
    return Page(items, encode(found[size - 1].id) if len(found) > size else "")
