"""Reads request bodies: never more than allowed, and JSON only where JSON is meant."""

from __future__ import annotations

from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.core.rest.domain.json_limits import MOST_VALUES, find_excess
from gateway.edges.http.parse_json import parse
from servicekit.errors import FieldProblem, Invalid
from servicekit.http.problem import TOO_LARGE

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body. Its message may be larger: `servicekit.grpc.limits` lets that pass."""


async def read(request: Request, limit: int) -> bytes:
    """The body, when it has at most `limit` bytes; else 413, without reading the rest."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        refuse_size(f"the body has {int(announced):,} bytes: {_way_out(limit)}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            refuse_size(f"the body has more than {limit >> 20} MiB: {_way_out(limit)}")
    return bytes(body)


def _way_out(limit: int) -> str:
    return (
        f"at most {limit >> 20} MiB ({limit:,} bytes) is accepted; "
        "upload a file as an asset, and refer to it as asset:<id>"
    )


async def read_json(request: Request) -> Any | None:
    """The JSON value of the body, or None without one.

    Raises:
        Invalid: it is not JSON (400), or holds too many values (413).
        HTTPException: it is too large (413), or says that it is something else (415).
    """
    body = await read(request, JSON_LIMIT)
    if not body.strip():
        return None
    kind = content_type(request)
    if not _is_json(kind):
        raise HTTPException(415, f"the body is {kind[:80]}: send application/json")
    value = parse(body)
    if len(body) > MOST_VALUES and (largest := find_excess(value)) is not None:
        problem = FieldProblem(
            largest.field,
            f"has {largest.count:,} values, and the whole body may have at most {MOST_VALUES:,}: "
            "send them in several requests, or upload them as an asset, and refer to it as asset:<id>",
        )
        raise Invalid(f"{problem.field} {problem.message}", fields=[problem], code=TOO_LARGE)
    return value


def _is_json(kind: str) -> bool:
    return kind in ("", "application/json") or kind.endswith("+json")


def content_type(request: Request) -> str:
    """The body's media type without parameters, in lower case; empty when there is no header."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def refuse_size(detail: str) -> NoReturn:
    """Answer 413 and end the connection: what is still coming is not read."""
    raise HTTPException(413, detail, headers={"Connection": "close"})
