"""Maps error kinds to gRPC status and back, and carries an error across a call.

Foreign clients read the status; our own get the very same error back, because kind, code, fields, retry_after
and reference travel as JSON in the trailing metadata under `ERROR_KEY`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import grpc

from servicekit.errors import ERRORS, AppError, ErrorKind, FieldProblem

ERROR_KEY = "rushes-error-bin"

STATUS: dict[ErrorKind, grpc.StatusCode] = {
    ErrorKind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorKind.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    ErrorKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorKind.CONFLICT: grpc.StatusCode.ALREADY_EXISTS,
    ErrorKind.PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorKind.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    ErrorKind.INTERNAL: grpc.StatusCode.INTERNAL,
}

KIND: dict[grpc.StatusCode, ErrorKind] = {
    **{status: kind for kind, status in STATUS.items()},
    grpc.StatusCode.ABORTED: ErrorKind.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: ErrorKind.INVALID,
    # The other side gave up on the call, which proves nothing about the request: as if it were away.
    grpc.StatusCode.CANCELLED: ErrorKind.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: ErrorKind.INTERNAL,
    grpc.StatusCode.UNKNOWN: ErrorKind.INTERNAL,
    grpc.StatusCode.DATA_LOSS: ErrorKind.INTERNAL,
}
"""What a foreign status means to us; total but for OK."""

_BROKEN_OFF = ("Stream removed", "Received RST_STREAM")
"""How the details begin when a connection broke off, which gRPC reports under half a dozen statuses: INTERNAL
for a reset, UNKNOWN where something else answers on the port. No server has judged the request."""


def is_broken_off(details: str) -> bool:
    """Whether the connection ended the call, and no server."""
    return details.startswith(_BROKEN_OFF)


# gRPC refuses metadata beyond 8 KiB in all, and percent-encodes the details: one character may take 12 bytes.
_DETAILS_CHARACTERS = 400
_METADATA_BYTES = 3000


def details(error: AppError) -> str:
    """The error's message, short enough for a status line."""
    if len(error.message) <= _DETAILS_CHARACTERS:
        return error.message
    return error.message[: _DETAILS_CHARACTERS - 1] + "…"


def metadata(error: AppError) -> tuple[tuple[str, bytes], ...]:
    """The trailing metadata that restores the error; field problems that find no room are left out."""
    sent: dict[str, Any] = {"kind": error.kind.value}
    if error.code:
        sent["code"] = error.code
    if error.retry_after is not None:
        sent["retry_after"] = error.retry_after
    if error.reference:
        sent["reference"] = error.reference
    room = _METADATA_BYTES - len(_bytes(sent))
    fields = []
    for problem in error.fields:
        pair = [problem.field, problem.message]
        room -= len(_bytes(pair)) + 2
        if room < 0:
            break
        fields.append(pair)
    if fields:
        sent["fields"] = fields
    return ((ERROR_KEY, _bytes(sent)),)


def restore(
    code: grpc.StatusCode, text: str, trailing: Iterable[tuple[str, str | bytes]] | None, *, target: str
) -> AppError:
    """The `AppError` of a failed call: the very one that the servicer raised, when it is a service of ours.

    Args:
        code: the call's status.
        text: the call's details.
        trailing: the call's trailing metadata.
        target: what was called, named in errors that no server of ours has raised.
    """
    for key, value in trailing or ():
        if key == ERROR_KEY:
            return _restored(text, json.loads(value))
    kind = ErrorKind.UNAVAILABLE if is_broken_off(text) else KIND[code]
    return ERRORS[kind](f"{target}: {text or code.name.lower()}")


def _restored(message: str, sent: dict[str, Any]) -> AppError:
    # A newer server may have a kind that we do not know.
    kind = ErrorKind(sent["kind"]) if sent.get("kind") in set(ErrorKind) else ErrorKind.INTERNAL
    return ERRORS[kind](
        message,
        fields=[FieldProblem(field, text) for field, text in sent.get("fields", ())],
        retry_after=sent.get("retry_after"),
        code=sent.get("code", ""),
        reference=sent.get("reference", ""),
    )


def _bytes(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
