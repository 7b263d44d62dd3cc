"""Maps error kinds to HTTP, and writes errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from ulid import ULID

from servicekit.errors import AppError, ErrorKind, Internal

MEDIA_TYPE = "application/problem+json"

STATUS: dict[ErrorKind, HTTPStatus] = {
    ErrorKind.INVALID: HTTPStatus.BAD_REQUEST,  # 422 when the error names fields, see `status_of`
    ErrorKind.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorKind.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorKind.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorKind.CONFLICT: HTTPStatus.CONFLICT,
    ErrorKind.PRECONDITION: HTTPStatus.CONFLICT,
    ErrorKind.LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorKind.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorKind.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorKind.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

TOO_LARGE = "too_large"
"""The code of an `Invalid` that is 413: the request as a whole is too large, and its fields say why."""

_KIND = {status: kind for kind, status in reversed(STATUS.items())}
"""The kind of a bare HTTP error of Starlette's; the first kind of a status wins."""

_log = structlog.get_logger(__name__)


def status_of(error: AppError) -> HTTPStatus:
    """The status of an error: that of its kind, but 422 when it names the fields that are wrong, or 413."""
    if error.kind is ErrorKind.INVALID and error.code == TOO_LARGE:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if error.kind is ErrorKind.INVALID and error.fields:
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return STATUS[error.kind]


def problem(error: AppError, *, instance: str) -> JSONResponse:
    """The response for an error: type, title, status, detail, instance, errors, and code when it has one.

    Args:
        error: of an internal one the client gets the reference alone, under which it is logged.
        instance: the path of the request, without its query.
    """
    if error.kind is ErrorKind.INTERNAL:
        error = _referenced(error, instance)
    status = status_of(error)
    body: dict[str, Any] = {
        "type": f"urn:rushes:error:{error.kind}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.message,
        "instance": instance,
        "errors": [{"field": wrong.field, "message": wrong.message} for wrong in error.fields],
    }
    if error.code:
        body["code"] = error.code
    if error.reference:
        body["reference"] = error.reference
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(0, math.ceil(error.retry_after)))
    if error.kind is ErrorKind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=status.value, headers=headers, media_type=MEDIA_TYPE)


def problem_for_exception(error: Exception, *, instance: str) -> JSONResponse:
    """The response for any exception: one that is no `AppError` is an internal error."""
    if isinstance(error, AppError):
        return problem(error, instance=instance)
    unknown = Internal("unexpected")
    unknown.__cause__ = error
    return problem(unknown, instance=instance)


def install_problem_handlers(app: Starlette) -> None:
    """Make a Starlette app respond with a problem to `AppError`s, HTTP errors, and anything else."""
    app.add_exception_handler(AppError, _on_anything)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_anything)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # Starlette's registry is by class; for the types alone
    if error.status_code in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return Response(status_code=error.status_code, headers=error.headers)
    kind = _KIND.get(HTTPStatus(error.status_code))
    body = {
        "type": f"urn:rushes:error:{kind}" if kind else "about:blank",
        "title": HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "detail": error.detail,
        "instance": request.url.path,
        "errors": [],
    }
    return JSONResponse(body, status_code=error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


async def _on_anything(request: Request, error: Exception) -> Response:
    return problem_for_exception(error, instance=request.url.path)


def _referenced(error: AppError, instance: str) -> AppError:
    """The same error with its reference alone, under which it is logged: here, and perhaps elsewhere."""
    reference = error.reference or str(ULID())
    _log.error("internal error", path=instance, reference=reference, exc_info=error.__cause__ or error)
    return Internal(f"internal error; quote the reference {reference}", reference=reference)
