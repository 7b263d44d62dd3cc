"""One try at one output: what it tells about its host, and what it does with its turn between retries."""

from __future__ import annotations

from dataclasses import dataclass

from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.scheduling.slot_scheduler import Turn
from servicekit.clock import Clock

PROBE_S = 1.0
"""Seconds between two tries at a host that is away: each with another output, as one of them may be why."""

_HOST = frozenset({Code.UNREACHABLE, Code.ORIGIN_ERROR, Code.INTERRUPTED, Code.TOO_SLOW})
"""Failures that speak against a host. Those of ours say nothing of it, all others that it answers."""


@dataclass(frozen=True)
class OneTry:
    """With a turn in hand. `is_late`: its output has expired; `asks`: its host is asked for it."""

    turn: Turn
    clock: Clock
    is_late: bool
    asks: bool

    async def wait(self, failure: FetchFailed, seconds: float, progressed: bool) -> None:
        """See `fetch.Wait`: others have the turn meanwhile. At a host that is away no retry: others try."""
        self.learn(failure, progressed=progressed)
        if self.turn.lane.is_closed:
            self.turn.rest()
            await self.clock.sleep(PROBE_S)
            raise failure
        async with self.turn.pause():
            await self.clock.sleep(seconds)
            if self.turn.lane.is_closed:
                raise failure

    def learn(self, failure: FetchFailed, *, progressed: bool = False) -> None:
        """Note how its host behaved. Bytes that came were noted when they did."""
        if failure.code in _HOST:
            if self.asks and not progressed:
                self.turn.failed()
        elif failure.code is not Code.OURS:
            self.answered()

    def answered(self) -> None:
        """Note that its host is there. Not only when all is here: others may not have as long as that."""
        if self.asks:
            self.turn.worked()
