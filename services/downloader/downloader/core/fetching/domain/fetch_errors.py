"""Lists every way in which a fetch can fail: its code, what it means, and when it is given up."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Self


class GiveUp(Enum):
    """When a fetch that fails in some way is given up. The values are the words of the README's table."""

    AT_ONCE = "at once"
    """The same address fails in the same way for ever."""
    AFTER_FEW_TRIES = "after 3 tries"
    """The origin's answer is clear, but may still be a hiccup."""
    AT_EXPIRY = "when the address expires"
    """Something on the way is in trouble: retries after 2, 4, 8 s, then delayed redeliveries."""


class ErrorCode(StrEnum):
    """Why an output is not stored: the `code` of `download.failed` and of the gRPC error.

    Beside it: when it is given up, and what it means. The README shows the same table; a test compares them.
    """

    _value_: str
    give_up: GiveUp
    meaning: str

    BAD_ADDRESS = "bad_address", GiveUp.AT_ONCE, "not an http, https or data address that can be read"
    PRIVATE_ADDRESS = (
        "private_address",
        GiveUp.AT_ONCE,
        "its host is, or resolves to, an address that is not public; `FETCH_ALLOW` lists exceptions",
    )
    REDIRECTS = "redirects", GiveUp.AT_ONCE, "more than 5 redirects, or one that leads nowhere"
    TOO_BIG = "too_big", GiveUp.AT_ONCE, "more bytes, or more pixels, than allowed"
    WRONG_KIND = (
        "wrong_kind",
        GiveUp.AT_ONCE,
        "a picture where a video is required, and the like (`FetchFile` only)",
    )
    TOO_SMALL = "too_small", GiveUp.AFTER_FEW_TRIES, "an output under 1 KB"
    NOT_MEDIA = (
        "not_media",
        GiveUp.AFTER_FEW_TRIES,
        "its first bytes are HTML, JSON, text or an unknown format",
    )
    TRUNCATED = (
        "truncated",
        GiveUp.AFTER_FEW_TRIES,
        "fewer bytes than announced, or a tail missing inside the container",
    )
    UNDECODABLE = (
        "undecodable",
        GiveUp.AFTER_FEW_TRIES,
        "the container does not open, or its packets or frames are broken",
    )
    ENCODED = (
        "encoded",
        GiveUp.AFTER_FEW_TRIES,
        "sent with a Content-Encoding that cannot be unpacked: Brotli, Zstandard, a broken gzip",
    )
    GONE = "gone", GiveUp.AFTER_FEW_TRIES, "the origin answers 4xx: deleted, expired or never there"
    UNREACHABLE = "unreachable", GiveUp.AT_EXPIRY, "no name, no connection, no TLS, no answer"
    ORIGIN_ERROR = "origin_error", GiveUp.AT_EXPIRY, "the origin answers 5xx, 408, 425 or 429"
    INTERRUPTED = "interrupted", GiveUp.AT_EXPIRY, "the connection breaks in the middle"
    TOO_SLOW = "too_slow", GiveUp.AT_EXPIRY, "too few bytes for too long, or not done within the total time"
    CHANGING = "changing", GiveUp.AT_EXPIRY, "the content changes with every resume"
    OURS = "ours", GiveUp.AT_EXPIRY, "the spool, the store or the event log is away or full"
    EXPIRED = "expired", GiveUp.AT_ONCE, "not stored by the time the provider deletes it: the output is lost"

    def __new__(cls, code: str, give_up: GiveUp, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_, member.give_up, member.meaning = code, give_up, meaning
        return member


class FetchError(Exception):
    """A fetch did not end in a stored file. The text never holds a full address, which may carry a secret.

    Args:
        code: why.
        message: one clause about what was fetched: "it is an HTML page, …".
        retry_after: seconds that the origin wants us to wait, when it says so.
    """

    def __init__(self, code: ErrorCode, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after

    @property
    def give_up(self) -> GiveUp:
        return self.code.give_up

    @property
    def is_retryable(self) -> bool:
        """Whether a fresh address for the same output may help once this one is given up."""
        return self.give_up is not GiveUp.AT_ONCE
