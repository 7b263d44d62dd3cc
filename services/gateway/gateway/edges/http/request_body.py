"""Reads request bodies: never more than allowed, and JSON only where JSON is meant."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.core.rest.domain.json_limits import MOST_VALUES, find_excess
from servicekit.errors import FieldProblem, Invalid
from servicekit.http.problem import TOO_LARGE

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body. Its message may be larger: `servicekit.grpc.limits` lets that pass."""

DEEPEST = 24
"""Levels of objects and lists in a body. Each costs up to three levels of messages, and gRPC's parsers
stop at a hundred."""


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
    value = parse_json(body)
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


def parse_json(body: bytes) -> Any:
    """The JSON value of a body: UTF-8, no name twice, not too deep.

    Raises:
        Invalid: without fields, which is 400: it is not JSON, says a name twice, or is nested too deeply.
    """
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Invalid(f"the body is not UTF-8 at byte {error.start}", code="malformed") from error
    except json.JSONDecodeError as error:
        raise Invalid(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            code="malformed",
        ) from error
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # a whole number of thousands of digits
        raise Invalid("the body holds a number with too many digits", code="malformed") from error
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        count = Counter(name for name, _ in pairs)
        twice = next(name for name in value if count[name] > 1)
        raise Invalid(f"the body says {twice[:64]!r} twice in one object", code="malformed")
    return value


def _no_constant(name: str) -> NoReturn:
    raise Invalid(f"the body is not JSON: {name} is no JSON number", code="malformed")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> Invalid:
    return Invalid(f"the body is nested too deeply: at most {DEEPEST} levels", code="malformed")
