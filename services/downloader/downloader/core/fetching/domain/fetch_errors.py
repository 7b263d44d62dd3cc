"""Every way in which a fetch can fail: its code, and how long to go on trying."""

from __future__ import annotations

from enum import Enum, StrEnum


class Patience(Enum):
    """How long to go on after a failure."""

    NEVER = "at once"
    """The same address fails the same way for ever."""
    FEW = "after 3 tries"
    """The origin gives a clear answer, which may still be its hiccup."""
    UNTIL_EXPIRY = "when the address expires"
    """Something on the way is in trouble: retries after 2, 4, 8 s, then delayed redeliveries."""


class Code(StrEnum):
    """Why an output is not stored: the `code` of `download.failed` and of the gRPC error."""

    BAD_ADDRESS = "bad_address"
    PRIVATE_ADDRESS = "private_address"
    REDIRECTS = "redirects"
    TOO_BIG = "too_big"
    WRONG_KIND = "wrong_kind"
    TOO_SMALL = "too_small"
    NOT_MEDIA = "not_media"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    ENCODED = "encoded"
    GONE = "gone"
    UNREACHABLE = "unreachable"
    ORIGIN_ERROR = "origin_error"
    INTERRUPTED = "interrupted"
    TOO_SLOW = "too_slow"
    CHANGING = "changing"
    OURS = "ours"
    EXPIRED = "expired"


REFUSALS: dict[Code, tuple[Patience, str]] = {
    Code.BAD_ADDRESS: (Patience.NEVER, "not an http, https or data address that can be read"),
    Code.PRIVATE_ADDRESS: (
        Patience.NEVER,
        "its host is, or resolves to, an address that is not public; `FETCH_ALLOW` lists exceptions",
    ),
    Code.REDIRECTS: (Patience.NEVER, "more than 5 redirects, or one that leads nowhere"),
    Code.TOO_BIG: (Patience.NEVER, "more bytes, or more pixels, than allowed"),
    Code.WRONG_KIND: (Patience.NEVER, "a picture where a video was announced, and the like"),
    Code.TOO_SMALL: (Patience.FEW, "under 1 KB"),
    Code.NOT_MEDIA: (Patience.FEW, "its first bytes are HTML, JSON, text or an unknown format"),
    Code.TRUNCATED: (Patience.FEW, "fewer bytes than announced, or a tail missing inside the container"),
    Code.UNDECODABLE: (Patience.FEW, "the container does not open, or its packets or frames are broken"),
    Code.ENCODED: (Patience.FEW, "sent with a Content-Encoding, though the request asked for none"),
    Code.GONE: (Patience.FEW, "the origin answers 4xx: deleted, expired or never there"),
    Code.UNREACHABLE: (Patience.UNTIL_EXPIRY, "no name, no connection, no TLS, no answer"),
    Code.ORIGIN_ERROR: (Patience.UNTIL_EXPIRY, "the origin answers 5xx, 408, 425 or 429"),
    Code.INTERRUPTED: (Patience.UNTIL_EXPIRY, "the connection breaks in the middle"),
    Code.TOO_SLOW: (Patience.UNTIL_EXPIRY, "too few bytes for too long, or not done within the total time"),
    Code.CHANGING: (Patience.UNTIL_EXPIRY, "the content changes with every resume"),
    Code.OURS: (Patience.UNTIL_EXPIRY, "the spool, the store or the event log is away or full"),
    Code.EXPIRED: (Patience.NEVER, "not stored by the time the provider deletes it: the output is lost"),
}
"""Code → how long to go on, and what it means; the README shows the same table, and a test compares them."""


class FetchFailed(Exception):  # noqa: N818  # the word that events and code use
    """A fetch did not end in a stored file. The text never holds a full address.

    Args:
        code: why.
        message: one clause about what was fetched: "it is an HTML page, …".
        retry_after: seconds the origin asked us to wait, when it did.
    """

    def __init__(self, code: Code, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def patience(self) -> Patience:
        """How long to go on."""
        return REFUSALS[self.code][0]

    @property
    def is_retryable(self) -> bool:
        """Whether asking for the output again, at a fresh address, makes sense once it is given up."""
        return self.patience is not Patience.NEVER
