"""Describes a file before and after its fetch, and decides which files are taken for media."""

from __future__ import annotations

from dataclasses import dataclass

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from mediakit.facts import Facts
from mediakit.formats import FORMATS, Format, Kind, describe, sniff

ACCEPTED = ", ".join(each.name for each in FORMATS)


@dataclass(frozen=True)
class FetchRequest:
    """A file to fetch, and where to store it.

    Args:
        url: its address.
        stem: its key in the store, without the extension.
        required_kind: what it must be; None: any.
        likely_kind: what it probably is, when that is no condition: it only spares a second upload when a
            container may hold either film or sound.
        max_bytes: the most bytes to accept, within `FetchLimits`; 0: as many as those allow.
        min_bytes: the fewest.
        claimed_at: when it was claimed, on the monotonic clock; None: unknown.
    """

    url: str
    stem: str
    required_kind: Kind | None = None
    likely_kind: Kind | None = None
    max_bytes: int = 0
    min_bytes: int = 0
    claimed_at: float | None = None


@dataclass(frozen=True)
class StoredFile:
    """A file in the store, whole and checked."""

    key: str
    content_type: str
    size: int
    sha256: str
    facts: Facts


def recognise(head: bytes, *, is_whole: bool, required: Kind | None, min_bytes: int = 0) -> Format:
    """The format that a file starts with.

    Args:
        head: the first `mediakit.formats.HEAD` bytes, or all when there are fewer.
        is_whole: whether `head` is the whole file.
        required: what it must be; None: any. Film or sound alone only decoding shows.
        min_bytes: the fewest that the file must have.

    Raises:
        FetchError: `too_small`, `not_media` (naming what it is instead), `wrong_kind`.
    """
    found = sniff(head)
    if found is None:
        raise FetchError(ErrorCode.NOT_MEDIA, f"it is {describe(head)}, not media; accepted are {ACCEPTED}")
    if is_whole and len(head) < min_bytes:
        message = f"it has {len(head)} bytes; nothing under {min_bytes} bytes is a real output"
        raise FetchError(ErrorCode.TOO_SMALL, message)
    # A picture cannot become a film by decoding it, while a film's format may hold sound alone.
    if required is not None and (found.kind is Kind.IMAGE) != (required is Kind.IMAGE):
        check_kind(found.kind, required, found)
    return found


def check_kind(kind: Kind, required: Kind | None, found: Format) -> None:
    """Refuse a file of another kind than is required.

    Raises:
        FetchError: `wrong_kind`.
    """
    if required is not None and kind is not required:
        message = f"it holds {kind.value} ({found.name}), but {required.value} was expected"
        raise FetchError(ErrorCode.WRONG_KIND, message)
