"""Reading request bodies: never more than allowed, and JSON only where JSON is meant."""

from __future__ import annotations

from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.edges.transcoding.documents import parse

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body."""


async def read(request: Request, limit: int) -> bytes:
    """The body, when it has at most `limit` bytes; else 413, without reading the rest."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        too_large(f"the body has {announced} bytes, {_way_out(limit)}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            too_large(f"the body is larger, {_way_out(limit)}")
    return bytes(body)


def _way_out(limit: int) -> str:
    return f"and at most {limit >> 20} MiB are taken: upload what is a file, and name it as asset:<id>"


async def read_json(request: Request) -> Any | None:
    """The JSON value of the body, or None without one.

    Raises:
        Invalid: it is not JSON (400).
        HTTPException: it is too large (413), or says that it is something else (415).
    """
    body = await read(request, JSON_LIMIT)
    if not body.strip():
        return None
    kind = content_type(request)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise HTTPException(415, f"the body is {kind[:80]}: send application/json")
    return parse(body)


def content_type(request: Request) -> str:
    """The body's type without parameters, in lower case; empty when it says none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def too_large(told: str) -> NoReturn:
    """Answer 413 and end the connection: what is still coming is not read."""
    raise HTTPException(413, told, headers={"Connection": "close"})
