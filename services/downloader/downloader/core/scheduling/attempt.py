"""Makes one attempt at one output: tries within a permit, and learns from each how its host behaves."""

from __future__ import annotations

from dataclasses import dataclass

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.media import StoredFile
from downloader.core.fetching.fetch import Fetcher, FetchRequest
from downloader.core.scheduling.domain.outputs import Output
from downloader.core.scheduling.domain.retry_policy import MAX_RETRY_AFTER_S, QuickRetries
from downloader.core.scheduling.ports import DownloadEvents
from downloader.core.scheduling.slot_scheduler import Permit
from servicekit.clock import Clock

PROBE_INTERVAL_S = 1.0
"""Between two tries at a host that is down. Each is made with another output, as one of them may be why."""

_HOST_ERRORS = frozenset(
    {ErrorCode.UNREACHABLE, ErrorCode.ORIGIN_ERROR, ErrorCode.INTERRUPTED, ErrorCode.TOO_SLOW}
)
"""Errors that speak against a host. `ours` says nothing about it; all others show that it answers."""


@dataclass(frozen=True)
class Attempt:
    """An attempt at one output, with a permit in hand; a `FetchListener`.

    Args:
        is_late: the output has expired: it is tried once, without retries.
        contacts_host: False: the output has expired and its host is down, so nothing is fetched. All that
            is left is to see whether it is stored after all.
    """

    output: Output
    permit: Permit
    events: DownloadEvents
    clock: Clock
    is_late: bool = False
    contacts_host: bool = True

    async def fetch(self, fetcher: Fetcher, request: FetchRequest) -> StoredFile:
        """Fetch it, with quick retries. Others may have the permit in the pauses between them.

        Raises:
            FetchError: of the last try.
            Unavailable: the spool, the decoders or the store are in trouble.
        """
        retries = QuickRetries()
        async with fetcher.begin(request, self) as fetch:
            while True:
                try:
                    return await fetch.try_once()
                except FetchError as error:
                    delay = retries.next_delay(error.give_up, progressed=fetch.progressed)
                    if delay is None or self.is_late:
                        raise
                    delay = max(delay, min(error.retry_after or 0.0, MAX_RETRY_AFTER_S))
                    await self._pause(error, delay, progressed=fetch.progressed)

    async def _pause(self, error: FetchError, seconds: float, *, progressed: bool) -> None:
        """Wait before the next try. Raises the error instead when the host is down: another output tries."""
        self.note_error(error, progressed=progressed)
        if self.permit.host_is_down:
            self.permit.release_slot()
            await self.clock.sleep(PROBE_INTERVAL_S)
            raise error
        async with self.permit.pause():
            await self.clock.sleep(seconds)
            if self.permit.host_is_down:
                raise error

    def note_error(self, error: FetchError, *, progressed: bool = False) -> None:
        """Learn how the host behaved. Bytes that came were noted by `host_answered` when they did."""
        if error.code in _HOST_ERRORS:
            if self.contacts_host and not progressed:
                self.permit.host_failed()
        elif error.code is not ErrorCode.OURS:
            self.host_answered()

    def host_answered(self) -> None:
        """Note it with the first bytes, and not when all is here: others may not have as long as that."""
        if self.contacts_host:
            self.permit.host_answered()

    async def progressed(self, received: int, announced: int) -> None:
        await self.events.progressed(self.output, received, announced)
