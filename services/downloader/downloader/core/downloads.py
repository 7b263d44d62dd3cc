"""What becomes of the outputs of one prediction: stored, given up, or tried again later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from downloader.core import schedule
from downloader.core.fetch import Fetcher, Wanted
from downloader.core.media import Stored
from downloader.core.outputs import Output
from downloader.core.ports import Alarms, Claims, Facts
from downloader.core.refusals import Code, FetchFailed, Patience
from downloader.core.turns import Turns
from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind

BUSY_S = 3.0
"""Seconds until looking again at an output that another replica is fetching."""

REMEMBERED = 10_000
"""Settled outputs remembered, so that a redelivery for one of four does not look at the other three."""

_TROUBLE = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.NOT_FOUND})
"""Errors of our own parts that pass. NotFound: a stored file was deleted while it was measured."""


class Downloads:
    """The use case behind `prediction.succeeded`. What it says may be said twice, never the effect."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        facts: Facts,
        claims: Claims,
        alarms: Alarms,
        turns: Turns,
        clock: Clock,
    ) -> None:
        self._fetcher = fetcher
        self._facts = facts
        self._claims = claims
        self._alarms = alarms
        self._turns = turns
        self._clock = clock
        self._settled: OrderedDict[tuple[str, str, int, int], None] = OrderedDict()

    async def handle(self, outputs: Sequence[Output], *, deliveries: int) -> float | None:
        """Settle every output; None when all are settled, else seconds until the next delivery.

        `deliveries`: how often these were delivered, this time included.
        """
        open_ones = [output for output in outputs if _id(output) not in self._settled]
        work = (self._one(output, deliveries) for output in schedule.earliest_first(open_ones))
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        delays = [result for result in results if isinstance(result, float)]
        return min(delays) if delays else None

    async def _one(self, output: Output, deliveries: int) -> float | None:
        async with self._turns.turn(output.expires_at), self._claims.hold(output.stem) as mine:
            if not mine:
                return BUSY_S
            try:
                await self._settle(output)
            except FetchFailed as failure:
                if (delay := self._again(output, failure, deliveries)) is not None:
                    return delay
                await self._give_up(output, failure)
        self._settled[_id(output)] = None
        if len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)
        return None

    async def _settle(self, output: Output) -> None:
        wanted = Wanted(output.url, output.stem, output.kind, max_bytes=0)
        try:
            stored = await self._have(output, wanted)
        except AppError as trouble:
            if trouble.kind not in _TROUBLE:
                raise
            raise FetchFailed(Code.OURS, trouble.message, retry_after=trouble.retry_after) from trouble
        await self._facts.completed(output, stored)

    async def _have(self, output: Output, wanted: Wanted) -> Stored:
        async def progress(received: int, total: int) -> None:
            await self._facts.progressed(output, received, total)

        if (stored := await self._fetcher.stored(wanted)) is not None:
            return stored
        await self._facts.started(output)
        return await self._fetcher.fetch(wanted, progress)

    def _again(self, output: Output, failure: FetchFailed, deliveries: int) -> float | None:
        """Seconds until the next delivery; None when it is over. Raises the alarm when time runs out."""
        now = self._clock.now()
        if failure.patience is not Patience.UNTIL_EXPIRY or schedule.is_lost(now, output.expires_at):
            return None
        if schedule.at_risk(now, output.expires_at):
            left = (output.expires_at - now).total_seconds()
            self._alarms.at_risk(output, left, failure.message)
        return schedule.redelivery(
            deliveries, now=now, expires_at=output.expires_at, asked=failure.retry_after
        )

    async def _give_up(self, output: Output, failure: FetchFailed) -> None:
        """Say so; what had until now and is gone now is lost, whatever the last answer was."""
        told = failure
        expired = schedule.is_lost(self._clock.now(), output.expires_at)
        if expired and (failure.patience is Patience.UNTIL_EXPIRY or failure.code is Code.GONE):
            self._alarms.lost(output, failure.message)
            told = FetchFailed(Code.EXPIRED, f"the provider has deleted it; the last try: {failure.message}")
        await self._facts.failed(output, told)


def _id(output: Output) -> tuple[str, str, int, int]:
    return output.generation, output.attempt, output.index, output.round
