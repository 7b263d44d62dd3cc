"""Builds responses in Replicate's form (problem documents, pages) and reads what requests carry."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.core.models.domain.input_validation import InvalidField

_TITLES = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    422: "Invalid request",
}


def problem(status: int, detail: str, title: str | None = None, **more: Any) -> Response:
    """A problem document. `more`: fields beside the usual ones, such as `retry_after`."""
    body: dict[str, Any] = {"detail": detail, "status": status, "title": title or _TITLES.get(status)}
    return JSONResponse(
        {k: v for k, v in {**body, **more}.items() if v is not None},
        status_code=status,
        media_type="application/problem+json",
    )


def invalid_input(problems: Sequence[InvalidField]) -> Response:
    """422 with every wrong field."""
    lines = "".join(f"- {p.field}: {p.description}\n" for p in problems)
    fields = [{"type": p.type, "field": p.field, "description": p.description} for p in problems]
    return problem(422, lines, "Input validation failed", invalid_fields=fields)


def unknown_version() -> Response:
    """422 for a version that does not exist, is `latest`, or belongs to another model."""
    detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
    return problem(422, detail, "Invalid version or not permitted")


def not_found(what: str) -> Response:
    return problem(404, f"{what} not found.")


def base_url(request: Request) -> str:
    """Scheme and host under which the client reached this server, without a slash at the end."""
    return str(request.base_url).rstrip("/")


async def json_body(request: Request) -> dict[str, Any] | Response:
    """The JSON object in the body, or the response that refuses it."""
    try:
        value = json.loads(await request.body() or b"{}")
    except ValueError:
        return problem(400, "The request body is not valid JSON")
    return value if isinstance(value, dict) else problem(400, "The request body must be a JSON object")


def cursor_position(request: Request) -> str | None:
    """The position in the query's `cursor`; None for the first page.

    Raises:
        ValueError: not one of our cursors.
    """
    given = request.query_params.get("cursor")
    if given is None:
        return None
    try:
        return parse_qs(base64.urlsafe_b64decode(given.encode()).decode())["p"][0]
    except (binascii.Error, UnicodeDecodeError, KeyError) as error:
        raise ValueError(f"cursor {given!r} is not one that this server gave") from error


def page(request: Request, results: Sequence[Any], position: str | None) -> Response:
    """A page. `position`: where the next one begins; None on the last."""
    following = None
    if position is not None:
        cursor = base64.urlsafe_b64encode(urlencode({"p": position}).encode()).decode()
        other = {k: v for k, v in request.query_params.items() if k != "cursor"}
        following = f"{base_url(request)}{request.url.path}?{urlencode({**other, 'cursor': cursor})}"
    return JSONResponse({"next": following, "previous": None, "results": list(results)})


def page_of_list(request: Request, items: Sequence[Any], size: int = 25) -> Response:
    """A page of a list that does not change: its position is an index."""
    try:
        start = int(cursor_position(request) or 0)
    except ValueError as error:
        return problem(400, str(error))
    end = start + size
    return page(request, items[start:end], str(end) if end < len(items) else None)
