"""Fetches one file: received, checked and stored whole, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from downloader.core.fetching.domain import responses
from downloader.core.fetching.domain.content_encoding import Unpacker, compressions
from downloader.core.fetching.domain.data_urls import decode_data_url, is_data_url
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError, GiveUp
from downloader.core.fetching.domain.media import FetchRequest, StoredFile, check_kind
from downloader.core.fetching.domain.responses import REDIRECT_STATUSES, BodyUse, redirect_target
from downloader.core.fetching.domain.ssrf_guard import AllowedHosts, check_url
from downloader.core.fetching.existing_blob import ExistingBlobs, UnreadableBlob
from downloader.core.fetching.ports import FetchListener, Origin, Prober, Response, Spool, Storage
from downloader.core.fetching.transfer import Transfer
from mediakit.formats import by_content
from servicekit.clock import Clock

MAX_RESTARTS = 5
"""How often one try starts again because the content has changed."""

CLAIM_CERTAIN_S = 3.0
"""Seconds for which a claim certainly holds by itself: a third of its life (adapters/scheduling/kv_claims).
Nobody else can have stored the file within them, so the store need not be looked into again after a fetch
that was this quick."""

PROGRESS_INTERVAL_S = 1.0
"""Between two reports of how far a fetch is."""


@dataclass(frozen=True)
class FetchLimits:
    """What a fetch may take: bytes; seconds in all; and the fewest bytes per second over a window."""

    max_bytes: int = 4 * 1024**3
    total_s: float = 1800.0
    window_s: float = 20.0
    least_rate: float = 1024.0


@dataclass(kw_only=True)
class Fetcher:
    """Fetches files, each at most once: what is already stored is measured, not fetched."""

    origin: Origin
    storage: Storage
    spool: Spool
    prober: Prober
    clock: Clock
    allowed: AllowedHosts
    limits: FetchLimits

    async def find_stored(self, request: FetchRequest) -> StoredFile | None:
        """What is stored already; None: nothing that is whole. Raises as `ExistingBlobs.find_whole` does."""
        existing = ExistingBlobs(self.storage, self.spool, self.prober)
        return await existing.find_whole(request.stem, request.required_kind)

    async def find_readable(self, request: FetchRequest) -> StoredFile | None:
        """As `find_stored`; None also when it cannot be read, for whoever has the file, or can fetch it."""
        try:
            return await self.find_stored(request)
        except UnreadableBlob:
            return None

    @asynccontextmanager
    async def begin(
        self, request: FetchRequest, listener: FetchListener | None = None
    ) -> AsyncIterator[Fetch]:
        """A fetch for the block, which may take as long as the limits allow, pauses between tries included.

        First see with `find_stored` whether the file is there already.

        Raises:
            FetchError: `too_slow`, when the block is not done in time.
            Unavailable: the spool is in trouble.
        """
        limits = self.limits
        async with self.spool.file() as file:
            max_bytes = min(request.max_bytes or limits.max_bytes, limits.max_bytes)
            transfer = Transfer(self.storage, self.prober, file, request, max_bytes=max_bytes)
            monitor = ThroughputMonitor(self.clock, limits.window_s, limits.least_rate, listener)
            try:
                async with asyncio.timeout(limits.total_s):
                    yield Fetch(self, request, transfer, monitor)
            except TimeoutError as error:
                message = f"it was not here after {limits.total_s:g} seconds"
                raise FetchError(ErrorCode.TOO_SLOW, message) from error
            finally:
                await transfer.abort()


class Fetch:
    """A fetch under way, over as many tries as it takes. What was received stays between them.

    `progressed`: the last try brought bytes that no earlier one had.
    """

    def __init__(
        self, fetcher: Fetcher, request: FetchRequest, transfer: Transfer, monitor: ThroughputMonitor
    ) -> None:
        self._fetcher = fetcher
        self._request = request
        self._transfer = transfer
        self._monitor = monitor
        self._most_received = 0
        self._is_doubtful = False
        self.progressed = False

    async def try_once(self) -> StoredFile:
        """Receive what is missing, check it, and store it.

        Raises:
            FetchError: see `fetch_errors`; nothing is visible in the store, and another try may follow.
            Unavailable: the spool, the decoders or the store are in trouble; nothing is visible either.
        """
        if self._is_doubtful:  # what the last try received was refused
            await self._transfer.restart()
            self._is_doubtful = False
        try:
            await self._receive()
            return await self._publish()
        except FetchError as error:
            self._is_doubtful = error.give_up is GiveUp.AFTER_FEW_TRIES
            raise

    async def _receive(self) -> None:
        """A body that ends too soon is a broken connection, until it ends at the same place again.

        Not so a file that is all here and breaks off inside: that is for `_publish` to find, and final.
        """
        try:
            await self._receive_missing()
        except FetchError as error:
            if error.code is ErrorCode.TRUNCATED and self._transfer.offset > self._most_received:
                raise FetchError(ErrorCode.INTERRUPTED, error.message) from error
            raise
        finally:
            self.progressed = self._transfer.offset > self._most_received
            self._most_received = max(self._most_received, self._transfer.offset)

    async def _receive_missing(self) -> None:
        """Receive what is missing, over as many responses as it takes."""
        transfer = self._transfer
        if is_data_url(self._request.url):
            await transfer.restart()
            for piece in decode_data_url(self._request.url):
                await transfer.write(piece)
            await transfer.finish()
            return
        for _ in range(MAX_RESTARTS + 1):
            if await self._receive_response():
                await transfer.finish()
                return
        raise FetchError(ErrorCode.CHANGING, f"it changed {MAX_RESTARTS} times while it was received")

    async def _receive_response(self) -> bool:
        """Send one request and take what its response brings; whether all is here now."""
        transfer = self._transfer
        before = transfer.offset
        async with self._get(responses.request_headers(before, transfer.representation)) as response:
            use, representation = responses.evaluate_response(response.head, before, transfer.representation)
            if use is not BodyUse.APPEND and (before or transfer.representation is not None):
                await transfer.restart()
            if use is BodyUse.DISCARD:
                return False
            transfer.announce(representation)
            self._monitor.begin_response(representation.total or 0)
            unpacker = Unpacker(compressions(response.head.get("content-encoding")))
            async for chunk in response.body:
                for piece in unpacker.unpack(chunk):
                    await transfer.write(piece)
                await self._monitor.received(transfer.offset)
            for piece in unpacker.finish():
                await transfer.write(piece)
        if use is BodyUse.APPEND and transfer.offset == before:
            raise FetchError(ErrorCode.TRUNCATED, f"the origin has nothing after byte {before}")
        return _is_whole(representation, transfer.offset)

    @asynccontextmanager
    async def _get(self, headers: dict[str, str]) -> AsyncIterator[Response]:
        """The response at the end of the redirects, each of which is checked."""
        url, followed = self._request.url, 0
        while True:
            check_url(url, self._fetcher.allowed)
            async with self._fetcher.origin.get(url, headers) as response:
                if response.head.status not in REDIRECT_STATUSES:
                    yield response
                    return
                url = redirect_target(url, response.head.get("location"), followed=followed)
            followed += 1

    async def _publish(self) -> StoredFile:
        transfer = self._transfer
        facts = await transfer.probe()
        check_kind(facts.kind, self._request.required_kind, transfer.container)
        # Somebody who was faster may have stored it; what is not whole is replaced.
        if not self._is_claim_certain() and (theirs := await self._fetcher.find_readable(self._request)):
            return theirs
        container = by_content(transfer.container, facts.kind)
        if container is not transfer.container:
            await transfer.upload_as(container)  # only the decoder could show its kind
        await transfer.publish()
        return StoredFile(transfer.key, container.content_type, transfer.offset, transfer.sha256, facts)

    def _is_claim_certain(self) -> bool:
        claimed_at = self._request.claimed_at
        return claimed_at is not None and self._fetcher.clock.monotonic() - claimed_at < CLAIM_CERTAIN_S


def _is_whole(representation: responses.Representation, offset: int) -> bool:
    total = representation.total
    if total is not None and offset > total:
        raise FetchError(ErrorCode.TRUNCATED, f"it has {offset} bytes, but {total} were announced")
    return total is None or offset == total


class ThroughputMonitor:
    """Watches one fetch, over all of its responses.

    A slow drip would keep a connection alive for ever, whatever the timeout of a single read: within each
    window of `window_s` seconds at least `least_rate` bytes a second must arrive.
    """

    def __init__(
        self, clock: Clock, window_s: float, least_rate: float, listener: FetchListener | None
    ) -> None:
        self._clock = clock
        self._window_s = window_s
        self._least_rate = least_rate
        self._listener = listener
        self._announced = 0
        self._most_received = 0
        self._has_new_bytes = False
        self._window_start: tuple[float, int] | None = None
        self._reported_at = clock.monotonic()

    def begin_response(self, announced: int) -> None:
        """A body begins; `announced` bytes are to come in all (0: unknown)."""
        self._announced = announced
        self._has_new_bytes = False
        self._window_start = None

    async def received(self, offset: int) -> None:
        """`offset` bytes of the content are here.

        Raises:
            FetchError: `too_slow`.
        """
        is_new = offset > self._most_received and not self._has_new_bytes
        self._most_received = max(self._most_received, offset)
        if is_new:
            self._has_new_bytes = True
            if self._listener is not None:
                self._listener.host_answered()
        now = self._clock.monotonic()
        self._check_rate(now, offset)
        if self._listener is not None and now - self._reported_at >= PROGRESS_INTERVAL_S:
            self._reported_at = now
            await self._listener.progressed(offset, self._announced)

    def _check_rate(self, now: float, offset: int) -> None:
        if self._window_start is None:
            self._window_start = (now, offset)
            return
        started_at, offset_then = self._window_start
        if now - started_at < self._window_s:
            return
        self._window_start = (now, offset)
        rate = (offset - offset_then) / (now - started_at)
        if rate < self._least_rate:
            message = f"it came at {rate:.0f} bytes a second; under {self._least_rate:g} is given up"
            raise FetchError(ErrorCode.TOO_SLOW, message)
