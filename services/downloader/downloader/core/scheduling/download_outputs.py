"""What becomes of the outputs of one prediction: stored, given up, or tried again later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

from downloader.core.containers.domain import Stored
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed, Patience
from downloader.core.fetching.domain.host_allowlist_report import Expected
from downloader.core.fetching.existing_blob import Unreadable
from downloader.core.fetching.fetch import Fetcher, Wanted
from downloader.core.fetching.ports import Alarms, Claims, Facts
from downloader.core.scheduling.attempt import OneTry
from downloader.core.scheduling.domain import retry_policy as schedule
from downloader.core.scheduling.domain.bounded_set import Known
from downloader.core.scheduling.domain.deferred_deliveries import Absents, Id
from downloader.core.scheduling.domain.outputs import Output
from downloader.core.scheduling.gather_outputs import settle_together
from downloader.core.scheduling.host_queue import SentAway
from downloader.core.scheduling.slot_scheduler import Turns
from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind

BUSY_S = 3.0
"""Seconds until looking again at an output that another replica is fetching."""

LATE = timedelta(days=3650)
"""Added to the deadline of what has expired: it goes after all that can surely still be had."""

EXPIRED = "expired"
"""The lane of what has expired and is not asked for any more. No host: it has no dot, nor a port."""

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
        expected: Expected,
        clock: Clock,
    ) -> None:
        self._fetcher = fetcher
        self._facts = facts
        self._claims = claims
        self._alarms = alarms
        self._turns = turns
        self._expected = expected
        self._clock = clock
        self._settled = Known()
        self._lost = Known()
        self._warned = Known()
        self._absent = Absents()

    async def handle(self, outputs: Sequence[Output], *, deliveries: int) -> float | None:
        """Settle every output; None when all are settled, else seconds until the next delivery.

        `deliveries`: how often these were delivered, this time included.
        """
        open_ones = [output for output in outputs if _id(output) not in self._settled]
        work = [partial(self._one, output, deliveries) for output in schedule.earliest_first(open_ones)]
        return await settle_together(work, self._clock)

    async def _one(self, output: Output, deliveries: int) -> float | None:
        host = _host(output)
        self._absent.of(host, self._clock.now()).is_back(_id(output))
        try:
            delay = await self._in_turn(output, deliveries, host)
        except SentAway as away:
            return self._send_away(output, host, host_is_away=away.closed)
        except AppError as trouble:  # of the claims or the log: it says nothing about the output
            return self._later(output, _ours(trouble), deliveries)
        if delay is None:
            self._settled.add(_id(output))
        return delay

    async def _in_turn(self, output: Output, deliveries: int, host: str) -> float | None:
        late = self._is_lost(output)
        # Of what has expired at a host that is away, all that is left is to see whether we have it after all.
        asks = not (late and self._turns.is_closed(host))
        deadline = output.expires_at + LATE if late else output.expires_at
        async with self._turns.turn(deadline, host if asks else EXPIRED) as turn:
            if late == self._is_lost(output):
                async with self._claims.hold(output.stem) as mine:
                    if not mine:
                        return BUSY_S
                    return await self._try(output, deliveries, OneTry(turn, self._clock, late, asks))
        return await self._in_turn(output, deliveries, host)  # it has expired while it waited

    async def _try(self, output: Output, deliveries: int, one_try: OneTry) -> float | None:
        try:
            await self._settle(output, one_try)
        except FetchFailed as failure:
            one_try.learn(failure)
            if failure.patience is Patience.UNTIL_EXPIRY and not self._is_over(output, failure):
                return self._later(output, failure, deliveries)
            await self._give_up(output, failure)
        return None

    async def _settle(self, output: Output, one_try: OneTry) -> None:
        wanted = Wanted(
            output.url,
            output.stem,
            output.kind,
            max_bytes=0,
            patient=not one_try.is_late,
            since=self._clock.monotonic(),
        )
        try:
            stored = await self._have(output, wanted, one_try)
            await self._facts.completed(output, stored)
        except AppError as trouble:
            raise _ours(trouble) from trouble

    async def _have(self, output: Output, wanted: Wanted, one_try: OneTry) -> Stored:
        try:
            if (stored := await self._fetcher.stored(wanted)) is not None:
                return stored
        except Unreadable as unreadable:
            try:
                return await self._fetch(output, wanted, one_try)
            except FetchFailed as failure:  # what is there may be whole: the origin's no is not the last word
                one_try.learn(failure)
                raise unreadable from failure
        return await self._fetch(output, wanted, one_try)

    async def _fetch(self, output: Output, wanted: Wanted, one_try: OneTry) -> Stored:
        async def progress(received: int, total: int) -> None:
            await self._facts.progressed(output, received, total)

        if not one_try.asks:
            raise FetchFailed(Code.UNREACHABLE, "its host has not answered for long")
        if host := self._expected.stranger(output.url):
            self._alarms.stranger(output, host)
        await self._facts.started(output)
        stored = await self._fetcher.fetch(wanted, progress, one_try.wait, one_try.answered)
        now = self._clock.now()
        self._absent.of(_host(output), now).fetched(now)
        return stored

    def _is_lost(self, output: Output) -> bool:
        return schedule.is_lost(self._clock.now(), output.expires_at)

    def _is_over(self, output: Output, failure: FetchFailed) -> bool:
        """Trouble of ours loses nothing by itself: it may lie in the store that cannot be asked just now."""
        return failure.code is not Code.OURS and self._is_lost(output)

    def _later(self, output: Output, failure: FetchFailed, deliveries: int) -> float:
        """Seconds until the next delivery. Raises the alarm when time runs out."""
        now = self._clock.now()
        self._warn(output, failure.message)
        return schedule.redelivery(
            deliveries, now=now, expires_at=output.expires_at, asked=failure.retry_after
        )

    def _send_away(self, output: Output, host: str, *, host_is_away: bool) -> float:
        now = self._clock.now()
        if _id(output) not in self._warned:
            self._warn(output, "its host is away" if host_is_away else "others expire earlier")
        return self._absent.of(host, now).leaves(
            _id(output), now=now, expires_at=output.expires_at, host_is_away=host_is_away
        )

    def _warn(self, output: Output, reason: str) -> None:
        now = self._clock.now()
        if schedule.at_risk(now, output.expires_at):
            self._warned.add(_id(output))
            self._alarms.at_risk(output, (output.expires_at - now).total_seconds(), reason)

    async def _give_up(self, output: Output, failure: FetchFailed) -> None:
        """Say so; what is not worth another try only because it has expired is lost."""
        told = failure
        if failure.patience is not Patience.NEVER and self._is_lost(output):
            told = FetchFailed(Code.EXPIRED, f"the provider has deleted it; the last try: {failure.message}")
            if self._lost.add(_id(output)):  # once, however often the log has to be told
                self._alarms.lost(output, failure.message)
        elif failure.is_retryable:  # a fresh address may still help, if somebody asks for it in time
            self._warn(output, f"given up: {failure.message}")
        await self._facts.failed(output, told)


def _ours(trouble: AppError) -> FetchFailed:
    if trouble.kind not in _TROUBLE:
        raise trouble
    return FetchFailed(Code.OURS, trouble.message, retry_after=trouble.retry_after)


def _host(output: Output) -> str:
    try:
        return urlsplit(output.url).netloc.rpartition("@")[2]
    except ValueError:  # no address at all: the fetch says so
        return ""


def _id(output: Output) -> Id:
    return output.generation, output.attempt, output.index, output.round
