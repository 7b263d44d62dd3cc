"""Reads pages by key: each begins after the last row of the page before, so all pages cost the same."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Row, Select, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from servicekit.errors import Invalid

T = TypeVar("T")


def encode(*values: object) -> str:
    """The page token for the row with these key values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(token: str, *kinds: type) -> list[Any]:
    """The key values of a token; Invalid when it is none of ours."""
    try:
        padded = token + "=" * (-len(token) % 4)
        values = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise _invalid_token(token) from error
    fits = isinstance(values, list) and [type(value) for value in values] == list(kinds)
    if not fits:
        raise _invalid_token(token)
    return list(values)


def _invalid_token(token: str) -> Invalid:
    message = f"{token[:40]!r} is no page token; pass next_page_token of the page before, or none"
    return Invalid.field("page_token", message)


async def page_of(
    connection: AsyncConnection,
    query: Select[Any],
    table: Table,
    paging: PageRequest,
    make: Callable[[Row[Any]], T],
) -> Page[T]:
    """A page of the query's rows, which are of `table`: newest first, for ids sort by time."""
    size = paging.size or DEFAULT_PAGE_SIZE
    if paging.token:
        (last_id,) = decode(paging.token, str)
        query = query.where(table.c.id < last_id)
    found = (await connection.execute(query.order_by(table.c.id.desc()).limit(size + 1))).all()
    items = tuple(make(row) for row in found[:size])
    return Page(items, encode(found[size - 1].id) if len(found) > size else "")
