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

_LIST_PAGE = 25
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


class Refused(Exception):  # noqa: N818 - it is the answer, not a defect
    """Answers a request with a problem document, from wherever its handler finds out."""

    def __init__(self, status: int, detail: str, title: str | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.response = problem(status, detail, title, **more)


def not_found(what: str) -> Refused:
    return Refused(404, f"{what} not found.")


def base_url(request: Request) -> str:
    """Scheme and host under which the client reached this server, without a slash at the end."""
    return str(request.base_url).rstrip("/")


def full_name(request: Request) -> str:
    """The model that the path names, as `owner/name`."""
    return f"{request.path_params['owner']}/{request.path_params['name']}"


async def json_body(request: Request) -> dict[str, Any]:
    try:
        value = json.loads(await request.body() or b"{}")
    except ValueError:
        raise Refused(400, "The request body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Refused(400, "The request body must be a JSON object")
    return value


def cursor_position(request: Request) -> str | None:
    """The position in the query's `cursor`; None for the first page."""
    given = request.query_params.get("cursor")
    if given is None:
        return None
    try:
        return parse_qs(base64.urlsafe_b64decode(given.encode()).decode())["p"][0]
    except (binascii.Error, UnicodeDecodeError, KeyError) as error:
        raise Refused(400, f"cursor {given!r} is not one that this server gave") from error


def page(request: Request, results: Sequence[Any], position: str | None) -> Response:
    """A page. `position`: where the next one begins; None on the last."""
    following = None
    if position is not None:
        cursor = base64.urlsafe_b64encode(urlencode({"p": position}).encode()).decode()
        other = {k: v for k, v in request.query_params.items() if k != "cursor"}
        following = f"{base_url(request)}{request.url.path}?{urlencode({**other, 'cursor': cursor})}"
    return JSONResponse({"next": following, "previous": None, "results": list(results)})


def page_of_list(request: Request, items: Sequence[Any]) -> Response:
    """A page of a list that does not change: its position is an index."""
    try:
        start = int(cursor_position(request) or 0)
    except ValueError as error:
        raise Refused(400, str(error)) from error
    end = start + _LIST_PAGE
    return page(request, items[start:end], str(end) if end < len(items) else None)
