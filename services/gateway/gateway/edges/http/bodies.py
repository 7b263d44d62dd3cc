"""Reading request bodies: never more than allowed, and JSON only where JSON is meant.

A JSON body that is too large is read on all the same, to say which field made it so; of that only its weights
are kept (`core/weighing.py`), so it needs no more memory than a small one, however many come at once.
"""

from __future__ import annotations

from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.core.counting import MOST_VALUES, crowd
from gateway.core.problems import MOST
from gateway.core.weighing import Heavy, Scale
from gateway.edges.transcoding.documents import parse
from servicekit.errors import FieldProblem, Invalid
from servicekit.http.problem import TOO_LARGE

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body. Its message may be larger: `servicekit.grpc.limits` lets that pass."""

WEIGHED_LIMIT = 16 * 1024 * 1024
"""Bytes of a JSON body that is read to its end, to name what is too long in it; more is not read."""


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
        Invalid: it is not JSON (400); it is too large, or holds too many values (413).
        HTTPException: it is not even read to its end (413), or says that it is something else (415).
    """
    body = await _read_or_weigh(request)
    if not body.strip():
        return None
    kind = content_type(request)
    if not _is_json(kind):
        raise HTTPException(415, f"the body is {kind[:80]}: send application/json")
    value = parse(body)
    if len(body) > MOST_VALUES and (most := crowd(value)) is not None:
        wrong = FieldProblem(
            most.field,
            f"has {most.count:,} values, and the whole body may have at most {MOST_VALUES:,}: "
            "send them in several requests, or as a file that is uploaded and named as asset:<id>",
        )
        raise Invalid(f"{wrong.field} {wrong.message}", fields=[wrong], code=TOO_LARGE)
    return value


def _is_json(kind: str) -> bool:
    return kind in ("", "application/json") or kind.endswith("+json")


async def _read_or_weigh(request: Request) -> bytes:
    """The body of at most `JSON_LIMIT` bytes; a larger one is only weighed, for the 413."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else 0
    if size > WEIGHED_LIMIT or not _is_json(content_type(request)):
        return await read(request, JSON_LIMIT)
    scale = Scale() if size > JSON_LIMIT else None
    body, total = bytearray(), 0
    async for chunk in request.stream():
        total += len(chunk)
        if scale is None:
            body += chunk
            if total > JSON_LIMIT:
                scale = Scale()
                scale.add(bytes(body))
                body.clear()
        elif total > WEIGHED_LIMIT:
            too_large(f"the body is larger than {WEIGHED_LIMIT >> 20} MiB, {_way_out(JSON_LIMIT)}")
        else:
            scale.add(chunk)
            if scale.weary:
                break
    if scale is not None:
        _refuse(scale.heaviest(), max(size, total))
    return bytes(body)


def _refuse(heavy: list[Heavy], size: int) -> NoReturn:
    problems = [FieldProblem(each.field, _too_long(each)) for each in heavy[:MOST]]
    told = f"the body has {size:,} bytes or more, {_way_out(JSON_LIMIT)}"
    if heavy:
        told = f"{heavy[0].field} {problems[0].message}"
    raise Invalid(told, fields=problems or [FieldProblem("body", told)], code=TOO_LARGE)


def _too_long(heavy: Heavy) -> str:
    most = f"and the whole body may have at most {JSON_LIMIT >> 20} MiB ({JSON_LIMIT:,} bytes)"
    if heavy.is_text:
        return (
            f"has {heavy.count:,} characters, {most}: shorten it; "
            "what is a file is uploaded as an asset and named as asset:<id>"
        )
    return f"has {heavy.count:,} items, {most}: send them in several requests"


def content_type(request: Request) -> str:
    """The body's type without parameters, in lower case; empty when it says none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def too_large(told: str) -> NoReturn:
    """Answer 413 and end the connection: what is still coming is not read."""
    raise HTTPException(413, told, headers={"Connection": "close"})
