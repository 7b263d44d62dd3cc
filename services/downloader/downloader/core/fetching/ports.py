"""What the downloader needs from the world, as the core sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from downloader.core.containers.domain import Container, Measured, Stored
from downloader.core.fetching.domain.fetch_errors import FetchFailed
from downloader.core.fetching.domain.resume import Head
from downloader.core.scheduling.domain.outputs import Output


@dataclass(frozen=True)
class Answer:
    """An origin's answer: what it says first, and its body as it arrives."""

    head: Head
    body: AsyncIterator[bytes]


class Origin(Protocol):
    """Where files lie, one request at a time: redirects are answers like others."""

    def get(self, url: str, headers: dict[str, str]) -> AbstractAsyncContextManager[Answer]:
        """Ask for it. Every resolved address is checked, and exactly that one is connected to.

        Raises (also out of the body): FetchFailed `private_address`, `unreachable`, `interrupted`,
        `truncated` (ended before its announced length), `too_slow`.
        """
        ...


@dataclass(frozen=True)
class Found:
    """A file in the store."""

    key: str
    size: int


class Upload(Protocol):
    """A file on its way into the store: invisible until completed."""

    async def write(self, data: bytes | bytearray) -> None:
        """The next bytes; they stay as they are meanwhile."""
        ...

    async def complete(self) -> None:
        """Make it visible, whole. Unavailable when the store has not kept all: nothing is visible then."""
        ...

    async def abort(self) -> None:
        """Leave nothing behind. After `complete`, and twice: nothing."""
        ...


class Store(Protocol):
    """The blob store."""

    async def find(self, stem: str) -> Sequence[Found]:
        """What lies under `<stem>.<an accepted extension>`: one file, or none. Two: see `kept.Kept`."""
        ...

    async def upload(self, key: str, content_type: str) -> Upload:
        """Begin to store a file."""
        ...

    async def read(self, key: str, path: Path) -> None:
        """Copy a file from the store to the path. Unavailable when the store does not give all of it."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        ...


class SpoolFile(Protocol):
    """A temporary file. The methods block: call them in a thread."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        ...

    def append(self, data: bytes | bytearray) -> None:
        """The next bytes. Unavailable when the disk is full or refuses."""
        ...

    def flush(self) -> None:
        """All that was appended is readable at `path` now. Unavailable when the disk is full or refuses."""
        ...

    def clear(self) -> None:
        """Back to empty."""
        ...

    def remove(self) -> None:
        """Leave nothing behind."""
        ...


class Spool(Protocol):
    """Where files lie while they are checked."""

    def open(self) -> SpoolFile:
        """A fresh, empty file. Unavailable when the disk is full or refuses."""
        ...


class Prober(Protocol):
    """Decoders, kept apart so that a file cannot take the service down."""

    async def probe(self, path: Path, container: Container, *, begun: bool = False) -> Measured:
        """What the file holds.

        Args:
            path: all of it.
            container: what its first bytes show.
            begun: `begins_well` was true of this very content, whose start need not be decoded again.

        Raises FetchFailed: `undecodable`, `truncated`, `too_big` (pixels).
        """
        ...

    async def begins_well(self, path: Path, container: Container) -> bool:
        """Decode the start of a file that is still growing. False: not to be told now, ask of the whole."""
        ...


class Facts(Protocol):
    """What others are told; saying the same twice is harmless."""

    async def started(self, output: Output) -> None:
        """Fetching begins."""
        ...

    async def progressed(self, output: Output, received: int, total: int) -> None:
        """So many bytes are here, of so many announced (0: unknown)."""
        ...

    async def completed(self, output: Output, stored: Stored) -> None:
        """It is stored, whole and checked."""
        ...

    async def failed(self, output: Output, failure: FetchFailed) -> None:
        """It is given up."""
        ...


class Claims(Protocol):
    """Who is fetching what, over all replicas."""

    def hold(self, stem: str) -> AbstractAsyncContextManager[bool]:
        """Claim it for the block; False: another replica has it now."""
        ...


class Alarms(Protocol):
    """What operators must hear of."""

    def at_risk(self, output: Output, seconds_left: float, reason: str) -> None:
        """It expires soon and is not stored yet."""
        ...

    def lost(self, output: Output, reason: str) -> None:
        """It has expired and is not stored."""
        ...

    def stranger(self, output: Output, host: str) -> None:
        """It comes from a host that none is expected from."""
        ...
