"""Answers in Replicate's own forms: problem documents, throttling, pages with cursors."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.core.models.domain.input_validation import Problem

_TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    422: "Invalid request",
}


def problem(status: int, detail: str, title: str | None = None, **more: Any) -> Response:
    """A problem document as Replicate words it; `more` adds fields such as `retry_after`."""
    body: dict[str, Any] = {"detail": detail, "status": status, "title": title or _TITLES.get(status)}
    return JSONResponse(
        {k: v for k, v in {**body, **more}.items() if v is not None},
        status_code=status,
        media_type="application/problem+json",
    )


def refused_input(problems: Sequence[Problem]) -> Response:
    """422 with every refused field."""
    lines = "".join(f"- {p.field}: {p.description}\n" for p in problems)
    fields = [{"type": p.type, "field": p.field, "description": p.description} for p in problems]
    return problem(422, lines, "Input validation failed", invalid_fields=fields)


def unknown_version() -> Response:
    """422 for a version that does not exist, is `latest`, or belongs to another model."""
    detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
    return problem(422, detail, "Invalid version or not permitted")


def not_found(what: str) -> Response:
    """404."""
    return problem(404, f"{what} not found.")


def base_of(request: Request) -> str:
    """Scheme and host that the client asked, without a slash at the end."""
    return str(request.base_url).rstrip("/")


async def body_of(request: Request) -> dict[str, Any] | Response:
    """The JSON object in the body, or the answer that refuses it."""
    try:
        value = json.loads(await request.body() or b"{}")
    except ValueError:
        return problem(400, "The request body is not valid JSON")
    return value if isinstance(value, dict) else problem(400, "The request body must be a JSON object")


def cursor_of(request: Request) -> str | None:
    """The position inside the query's `cursor`; None for the first page.

    Raises:
        ValueError: not one of our cursors.
    """
    given = request.query_params.get("cursor")
    if given is None:
        return None
    try:
        return parse_qs(base64.urlsafe_b64decode(given.encode()).decode())["p"][0]
    except (binascii.Error, UnicodeDecodeError, KeyError) as trouble:
        raise ValueError(f"cursor {given!r} is not one that this server gave") from trouble


def page(request: Request, results: Sequence[Any], position: str | None) -> Response:
    """A page; `position` is where the next one begins, None on the last."""
    following = None
    if position is not None:
        cursor = base64.urlsafe_b64encode(urlencode({"p": position}).encode()).decode()
        kept = {k: v for k, v in request.query_params.items() if k != "cursor"}
        following = f"{base_of(request)}{request.url.path}?{urlencode({**kept, 'cursor': cursor})}"
    return JSONResponse({"next": following, "previous": None, "results": list(results)})


def sliced(request: Request, items: Sequence[Any], size: int = 25) -> Response:
    """A page of a fixed list; the position is an index."""
    try:
        start = int(cursor_of(request) or 0)
    except ValueError as trouble:
        return problem(400, str(trouble))
    end = start + size
    return page(request, items[start:end], str(end) if end < len(items) else None)
