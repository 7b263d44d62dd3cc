"""Fetching one file: received, checked, stored, or nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from downloader.core.containers.domain import Kind, Measured, Stored, check_kind, holding
from downloader.core.fetching.domain import data_urls as data_address
from downloader.core.fetching.domain import redirects
from downloader.core.fetching.domain import ssrf_guard as guard
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed, Patience
from downloader.core.fetching.domain.resume import Entity, Step, decide, request_headers
from downloader.core.fetching.existing_blob import Kept, Unreadable, opened
from downloader.core.fetching.ports import Answer, Origin, Prober, Spool, Store
from downloader.core.fetching.throughput import Pace
from downloader.core.fetching.transfer import Transfer
from downloader.core.scheduling.domain.retry_policy import Tries
from servicekit.clock import Clock

Progress = Callable[[int, int], Awaitable[None]]
"""Told bytes received and announced (0: unknown), at most once a second."""

Answered = Callable[[], None]
"""Told once an answer that it brings bytes which no earlier one had: its host is there."""

Wait = Callable[[FetchFailed, float, bool], Awaitable[None]]
"""How to wait between two tries: after which failure, how many seconds, and whether it had brought bytes.
Raising the failure ends the fetch."""

RESTARTS = 5
"""How often one fetch starts again because the content has changed."""

ALONE_S = 3.0
"""Seconds for which a claim holds by itself, with much to spare (adapters/claims_log): nobody else can have
stored the file within them, and the look before the fetch need not be taken again after it."""


@dataclass(frozen=True)
class Limits:
    """What a fetch may take: bytes; seconds in all; and the fewest bytes per second over a window."""

    max_bytes: int = 4 * 1024**3
    total_s: float = 1800.0
    window_s: float = 20.0
    least_rate: float = 1024.0


@dataclass(frozen=True)
class Wanted:
    """A file to fetch: its address, its key without extension, its kind, bytes allowed (0: the most)."""

    url: str
    stem: str
    kind: Kind | None
    max_bytes: int
    patient: bool = True
    """Whether to retry within the fetch: yes for outputs, no for a person who waits."""
    since: float | None = None
    """When, by the monotonic clock, it was claimed; None: nobody said."""


class Fetcher:
    """Fetches files, each at most once: what is already stored is measured, not fetched."""

    def __init__(
        self,
        *,
        origin: Origin,
        store: Store,
        spool: Spool,
        prober: Prober,
        clock: Clock,
        allowed: guard.Allowed,
        limits: Limits,
    ) -> None:
        self._origin = origin
        self._store = store
        self._spool = spool
        self._prober = prober
        self._clock = clock
        self._allowed = allowed
        self._kept = Kept(store, spool, prober)
        self.limits = limits

    async def stored(self, wanted: Wanted) -> Stored | None:
        """What is there already, measured anew; None: nothing that is whole. Raises as `Kept.whole` does."""
        return await self._kept.whole(wanted.stem, wanted.kind)

    async def fetch(
        self,
        wanted: Wanted,
        progress: Progress | None = None,
        wait: Wait | None = None,
        answered: Answered | None = None,
    ) -> Stored:
        """Have it stored, and answer what was measured. Look with `stored` first whether it is there already.

        Raises:
            FetchFailed: see `refusals`; nothing of it is visible in the store.
            Unavailable: the spool, the decoders or the store are in trouble; nothing is visible either.
        """
        async with opened(self._spool) as file:
            limit = min(wanted.max_bytes or self.limits.max_bytes, self.limits.max_bytes)
            transfer = Transfer(self._store, self._prober, file, wanted.stem, wanted.kind, limit)
            pace = Pace(self._clock, self.limits.window_s, self.limits.least_rate, progress, answered)
            try:
                async with asyncio.timeout(self.limits.total_s):
                    return await self._until_stored(wanted, transfer, pace, wait)
            except TimeoutError as error:
                raise FetchFailed(
                    Code.TOO_SLOW, f"it was not here after {self.limits.total_s:g} seconds"
                ) from error
            finally:
                await transfer.abort()

    async def _until_stored(
        self, wanted: Wanted, transfer: Transfer, pace: Pace, wait: Wait | None
    ) -> Stored:
        tries, best = Tries(), 0
        while True:
            try:
                await self._receive(wanted.url, transfer, pace)
                return await self._publish(wanted, transfer)
            except FetchFailed as caught:
                progressed = transfer.offset > best
                best = max(best, transfer.offset)
                failure = _judge(caught, progressed=progressed)
                delay = tries.again(failure.patience, progressed=progressed) if wanted.patient else None
                if delay is None:
                    raise failure from caught
                if failure.patience is Patience.FEW:
                    await transfer.restart()  # what has been received is in doubt
            seconds = max(delay, min(failure.retry_after or 0.0, 30.0))
            await (wait(failure, seconds, progressed) if wait else self._clock.sleep(seconds))

    async def _receive(self, url: str, transfer: Transfer, pace: Pace) -> None:
        """Receive what is missing, over as many answers as it takes."""
        if data_address.is_data(url):
            await transfer.restart()
            for piece in data_address.decode(url):
                await transfer.write(piece)
            await transfer.end()
            return
        for _ in range(RESTARTS + 1):
            if await self._one_answer(url, transfer, pace):
                await transfer.end()
                return
        raise FetchFailed(Code.CHANGING, f"it changed {RESTARTS} times while it was received")

    async def _one_answer(self, url: str, transfer: Transfer, pace: Pace) -> bool:
        """Ask once, take what the answer brings; whether all is here now."""
        before = transfer.offset
        async with self._ask(url, request_headers(before, transfer.entity)) as answer:
            step, entity = decide(answer.head, before, transfer.entity)
            if step is not Step.APPEND and (before or transfer.entity is not None):
                await transfer.restart()
            if step is Step.ASK_AGAIN:
                return False
            transfer.announce(entity)
            pace.begin(entity.total or 0)
            async for chunk in answer.body:
                await transfer.write(chunk)
                await pace.received(transfer.offset)
        if step is Step.APPEND and transfer.offset == before:
            raise FetchFailed(Code.TRUNCATED, f"the origin has nothing after byte {before}")
        return _is_whole(entity, transfer.offset)

    @asynccontextmanager
    async def _ask(self, url: str, headers: dict[str, str]) -> AsyncIterator[Answer]:
        """The answer at the end of the redirects, each of them checked."""
        followed = 0
        while True:
            guard.check_address(url, self._allowed)
            async with self._origin.get(url, headers) as answer:
                if answer.head.status not in redirects.STATUSES:
                    yield answer
                    return
                url = redirects.follow(url, answer.head.get("location"), followed=followed)
            followed += 1

    async def _publish(self, wanted: Wanted, transfer: Transfer) -> Stored:
        container = transfer.container
        if container is None:
            raise RuntimeError("publish comes after receive")
        measured = await transfer.measure()
        check_kind(measured.kind, wanted.kind, container)
        if not self._is_alone(wanted) and (theirs := await self._theirs(wanted)) is not None:
            return theirs
        if (held := holding(container, measured.kind)) is not container:
            await transfer.hold(held)  # nobody had said its kind, and only the decoder could tell
        await transfer.publish()
        return _stored(transfer, held.content_type, measured)

    async def _theirs(self, wanted: Wanted) -> Stored | None:
        """What somebody stored who was faster. What is not whole is replaced."""
        try:
            return await self.stored(wanted)
        except Unreadable:
            return None

    def _is_alone(self, wanted: Wanted) -> bool:
        return wanted.since is not None and self._clock.monotonic() - wanted.since < ALONE_S


def _judge(failure: FetchFailed, *, progressed: bool) -> FetchFailed:
    """A body that ends too soon is a broken connection, until it ends at the same place again."""
    if failure.code is Code.TRUNCATED and progressed:
        return FetchFailed(Code.INTERRUPTED, failure.message)
    return failure


def _is_whole(entity: Entity, offset: int) -> bool:
    if entity.total is not None and offset > entity.total:
        raise FetchFailed(Code.TRUNCATED, f"it has {offset} bytes, but {entity.total} were announced")
    return entity.total is None or offset == entity.total


def _stored(transfer: Transfer, content_type: str, measured: Measured) -> Stored:
    return Stored(transfer.key, content_type, transfer.offset, transfer.sha256, measured)
