"""Names what fetching needs from the world: origins, the blob store, temporary files, decoders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from downloader.core.fetching.domain.responses import ResponseHead
from mediakit.facts import Facts
from mediakit.formats import Format


@dataclass(frozen=True)
class Response:
    """An origin's response: its head, and its body as it arrives."""

    head: ResponseHead
    body: AsyncIterator[bytes]


class Origin(Protocol):
    """Where files lie. One request at a time: a redirect is a response like any other."""

    def get(self, url: str, headers: dict[str, str]) -> AbstractAsyncContextManager[Response]:
        """Request it. Every resolved address is checked, and exactly that one is connected to.

        Raises (also out of the body): FetchError `private_address`, `unreachable`, `interrupted`,
        `truncated` (ended before its announced length), `too_slow`.
        """
        ...


class FetchListener(Protocol):
    """Learns how a fetch goes, while it goes."""

    def host_answered(self) -> None:
        """Called once per response, when its first new bytes arrive: the host is alive."""
        ...

    async def progressed(self, received: int, announced: int) -> None:
        """Called at most once a second with the bytes received and announced (0: unknown)."""
        ...


class Upload(Protocol):
    """A file on its way into the store: invisible until completed."""

    async def write(self, data: bytes | bytearray) -> None:
        """Take the next bytes. The caller must not change them afterwards."""
        ...

    async def complete(self) -> object:
        """Make it visible, whole. Unavailable when the store lacks some of it: nothing is visible then."""
        ...

    async def abort(self) -> None:
        """Leave nothing behind. After `complete`, and twice: nothing happens."""
        ...


class Storage(Protocol):
    """The blob store."""

    async def find(self, stem: str) -> Sequence[str]:
        """The keys `<stem>.<an accepted extension>` there are: one or none; two, see `ExistingBlobs`."""
        ...

    def upload(self, key: str, content_type: str) -> Upload: ...

    async def read(self, key: str, path: Path) -> None:
        """Copy a file from the store to the path. Unavailable when the store does not give all of it."""
        ...

    async def delete(self, key: str) -> None:
        """Remove it; absent is fine."""
        ...


class SpoolFile(Protocol):
    """A temporary file. The methods block: call them in a thread."""

    @property
    def path(self) -> Path: ...

    def append(self, data: bytes | bytearray) -> None:
        """Unavailable when the disk is full or refuses."""
        ...

    def flush(self) -> None:
        """All that was appended is readable at `path` now. Unavailable when the disk is full or refuses."""
        ...

    def clear(self) -> None: ...


class Spool(Protocol):
    """Where files lie while they are checked."""

    def file(self) -> AbstractAsyncContextManager[SpoolFile]:
        """A fresh, empty file for the block. Unavailable when the disk is full or refuses."""
        ...


class Prober(Protocol):
    """Decoders, in processes of their own so that a file cannot take the service down."""

    async def probe(self, path: Path, container: Format, *, start_decoded: bool = False) -> Facts:
        """What the file holds.

        Args:
            path: all of it.
            container: what its first bytes show.
            start_decoded: `start_decodes` was true of this very content, so its start need not be decoded
                again.

        Raises FetchError: `undecodable`, `truncated`, `too_big` (pixels).
        """
        ...

    async def start_decodes(self, path: Path, container: Format) -> bool:
        """Decode the start of a file that is still growing. False: unknown for now, probe the whole file."""
        ...
