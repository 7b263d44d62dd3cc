"""Names what scheduling needs from the world: events, claims, alerts."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from downloader.core.fetching.domain.fetch_errors import FetchError
from downloader.core.fetching.domain.media import StoredFile
from downloader.core.scheduling.domain.outputs import Output


class DownloadEvents(Protocol):
    """Publishes `download.*`. Publishing the same twice is harmless."""

    async def started(self, output: Output) -> None: ...

    async def progressed(self, output: Output, received: int, announced: int) -> None:
        """Bytes received and announced (0: unknown)."""
        ...

    async def completed(self, output: Output, stored: StoredFile) -> None: ...

    async def failed(self, output: Output, error: FetchError) -> None: ...


class Claims(Protocol):
    """Which replica is fetching what."""

    def claim(self, stem: str) -> AbstractAsyncContextManager[bool]:
        """Claim a key for the block; False: another replica has it now."""
        ...


class OutputAlerts(Protocol):
    """What operators must know of outputs."""

    def at_risk(self, output: Output, seconds_left: float, reason: str) -> None:
        """It expires soon and is not stored yet."""
        ...

    def lost(self, output: Output, reason: str) -> None:
        """It has expired and is not stored."""
        ...

    def unexpected_host(self, output: Output, host: str) -> None:
        """It comes from a host that no provider is known to deliver from."""
        ...
