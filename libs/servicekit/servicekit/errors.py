"""The closed set of error kinds that every edge maps and every caller can act on.

::

    AppError                kind             what the caller may do
    ├── Invalid             invalid          correct the request: `fields` name what is wrong
    ├── Unauthenticated     unauthenticated  sign in again
    ├── Forbidden           forbidden        give up: known, but not allowed
    ├── NotFound            not_found        check the id; a consumer tries a few times (events may race)
    ├── Conflict            conflict         read again: it exists already, or somebody was faster
    ├── Precondition        precondition     come back when the state has changed
    ├── Limited             limited          come back after `retry_after` seconds: nothing is wrong
    ├── Unavailable         unavailable      try again with backoff: a part is down
    ├── TimedOut            timeout          try again with backoff: the outcome is unknown
    └── Internal            internal         report the `reference`: the fault is ours

The edges' tables are `servicekit.grpc.status`, `servicekit.http.problem` and `servicekit.events.ack_policy`;
a test iterates `ErrorKind` and asserts that each is total. Pure code may import this module: it needs
the standard library alone.
"""

# ruff: noqa: N818  # the class is the word that product and edges use: NotFound, not NotFoundError
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Self


class ErrorKind(StrEnum):
    """The ten kinds that an edge has to know."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION = "precondition"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    INTERNAL = "internal"


class Retry(StrEnum):
    """Whether the very same attempt may succeed another time."""

    NEVER = "never"
    """The same request fails the same way for ever."""
    FEW = "few"
    """Perhaps it overtook what it needs: a few attempts, then never."""
    LATER = "later"
    """Nothing is broken, it is only too early. Wait `retry_after`; nobody is alarmed."""
    BACKOFF = "backoff"
    """A part is down or broken: wait longer each time."""


RETRY: dict[ErrorKind, Retry] = {
    ErrorKind.INVALID: Retry.NEVER,
    ErrorKind.UNAUTHENTICATED: Retry.NEVER,
    ErrorKind.FORBIDDEN: Retry.NEVER,
    ErrorKind.NOT_FOUND: Retry.FEW,
    ErrorKind.CONFLICT: Retry.NEVER,
    ErrorKind.PRECONDITION: Retry.LATER,
    ErrorKind.LIMITED: Retry.LATER,
    ErrorKind.UNAVAILABLE: Retry.BACKOFF,
    ErrorKind.TIMEOUT: Retry.BACKOFF,
    ErrorKind.INTERNAL: Retry.BACKOFF,
}


@dataclass(frozen=True)
class FieldProblem:
    """One field that a request has wrong: its path as the caller wrote it (`scenes[2].seconds`), and why."""

    field: str
    message: str


class AppError(Exception):
    """An error with a kind, which each edge can translate into its own protocol.

    Raise a subclass, never this class: the kind is the subclass.

    Args:
        message: a sentence for whoever called: the thing, the value and the way out; never a secret.
        fields: the fields of the request that are wrong, each with its own sentence.
        retry_after: seconds after which trying again makes sense, when known.
        code: a short machine word for what callers branch on ("budget", "already_recorded"); crosses gRPC.
        reference: the opaque id under which our logs have the details; edges set it for `internal` errors.
    """

    kind: ClassVar[ErrorKind]

    def __init__(
        self,
        message: str,
        *,
        fields: Sequence[FieldProblem] = (),
        retry_after: float | None = None,
        code: str = "",
        reference: str = "",
    ) -> None:
        if type(self) is AppError:
            raise TypeError("AppError has no kind: raise one of its subclasses, such as Invalid")
        super().__init__(message)
        self.message = message
        self.fields = tuple(fields)
        self.retry_after = retry_after
        self.code = code
        self.reference = reference

    @property
    def retry(self) -> Retry:
        """Whether the very same attempt may succeed another time."""
        return RETRY[self.kind]


class Invalid(AppError):
    """The request itself is wrong, whoever sends it and whenever."""

    kind = ErrorKind.INVALID

    @classmethod
    def field(cls, name: str, message: str, *, sentence: str = "") -> Self:
        """One field is wrong: its path as the caller wrote it, and why.

        `sentence` stands for the whole error where "<name>: <message>" does not read well.
        """
        return cls(sentence or f"{name}: {message}", fields=[FieldProblem(name, message)])


class Unauthenticated(AppError):
    """The caller could not be identified: no key, a wrong one, or one that has expired."""

    kind = ErrorKind.UNAUTHENTICATED


class Forbidden(AppError):
    """The caller is known and may not do this."""

    kind = ErrorKind.FORBIDDEN


class NotFound(AppError):
    """No such thing, or none that this caller may know of."""

    kind = ErrorKind.NOT_FOUND


class Conflict(AppError):
    """It exists already, or somebody else changed it first."""

    kind = ErrorKind.CONFLICT


class Precondition(AppError):
    """Right request, wrong state: it may be right later."""

    kind = ErrorKind.PRECONDITION


class Limited(AppError):
    """A limit of rate, number or money is reached; nothing is broken."""

    kind = ErrorKind.LIMITED


class Unavailable(AppError):
    """A part that is needed cannot be reached; nothing was done."""

    kind = ErrorKind.UNAVAILABLE


class TimedOut(AppError):
    """No answer in time: the effect may or may not have happened."""

    kind = ErrorKind.TIMEOUT


class Internal(AppError):
    """A fault of ours; clients get its `reference` and nothing else."""

    kind = ErrorKind.INTERNAL


ERRORS: dict[ErrorKind, type[AppError]] = {error.kind: error for error in AppError.__subclasses__()}
"""The class of each kind: how an edge restores an error that has crossed a wire."""
