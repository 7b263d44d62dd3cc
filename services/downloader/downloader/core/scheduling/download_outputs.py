"""Downloads the outputs of one prediction: each is stored, given up, or tried again later."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError, GiveUp
from downloader.core.fetching.domain.media import FetchRequest, StoredFile
from downloader.core.fetching.existing_blob import UnreadableBlob
from downloader.core.fetching.fetch import Fetcher
from downloader.core.scheduling.domain import retry_policy
from downloader.core.scheduling.domain.deferred_deliveries import DeferredByHost
from downloader.core.scheduling.domain.outputs import ExpectedHosts, Output
from downloader.core.scheduling.gather_outputs import gather_outputs
from downloader.core.scheduling.ports import Claims, DownloadEvents, OutputAlerts
from downloader.core.scheduling.slot_scheduler import Deferred, Permit, SlotScheduler
from servicekit.clock import Clock
from servicekit.errors import AppError, ErrorKind

MIN_OUTPUT_BYTES = 1024
"""Anything smaller that a model made is not a real output, but an empty frame. What people have may be
as small as it likes: a logo is."""

CLAIMED_RETRY_S = 3.0
"""Until an output that another replica is fetching is tried again."""

_AFTER_ALL_OTHERS = timedelta(days=3650)
"""Added to the deadline of what has expired: it goes after all that can surely still be fetched."""

_EXPIRED = "expired"
"""The queue of what has expired and whose host is down. Not a host name: it has neither dot nor port."""

_PASSING = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT, ErrorKind.NOT_FOUND})
"""Errors of our own parts that pass. NotFound: a stored file was deleted while it was measured."""

MAX_REMEMBERED = 20_000
"""As many as may be in flight. Beyond that something is done once more, which is harmless."""

PROBE_INTERVAL_S = 1.0
"""Between two tries at a host that is down. Each is made with another output, as one of them may be why."""

_HOST_ERRORS = frozenset(
    {ErrorCode.UNREACHABLE, ErrorCode.ORIGIN_ERROR, ErrorCode.INTERRUPTED, ErrorCode.TOO_SLOW}
)
"""Errors that speak against a host. `ours` says nothing about it; all others show that it answers."""


@dataclass(frozen=True)
class PermittedFetch:
    """A fetch of one output, with a permit in hand; a `FetchListener`.

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
        retries = retry_policy.QuickRetries()
        async with fetcher.begin(request, self) as fetch:
            while True:
                try:
                    return await fetch.try_once()
                except FetchError as error:
                    delay = retries.next_delay(error.give_up, progressed=fetch.progressed)
                    if delay is None or self.is_late:
                        raise
                    delay = max(delay, min(error.retry_after or 0.0, retry_policy.MAX_RETRY_AFTER_S))
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


@dataclass(kw_only=True)
class DownloadOutputs:
    """The use case behind `prediction.succeeded`. Its events may be published twice, never its effect."""

    fetcher: Fetcher
    events: DownloadEvents
    claims: Claims
    alerts: OutputAlerts
    scheduler: SlotScheduler
    expected_hosts: ExpectedHosts
    clock: Clock

    def __post_init__(self) -> None:
        self._deferred = DeferredByHost()
        self._settled = BoundedSet()
        # Alerts that were raised: a loss and a host once each, a risk by each failed try but by no deferral.
        self._lost = BoundedSet()
        self._at_risk = BoundedSet()
        self._unexpected_hosts = BoundedSet()

    async def handle(self, outputs: Sequence[Output], *, deliveries: int) -> float | None:
        """Settle every output; None when all are settled, else seconds until the next delivery.

        `deliveries`: how often these were delivered, this time included.
        """
        unsettled = [output for output in outputs if output.id not in self._settled]
        tries = [
            partial(self._settle, output, deliveries)
            for output in sorted(unsettled, key=lambda output: output.expires_at)
        ]
        return await gather_outputs(tries, self.clock)

    async def _settle(self, output: Output, deliveries: int) -> float | None:
        self._deferred.of(output.host, self.clock.now()).returned(output.id)
        try:
            delay = await self._with_permit(output, deliveries)
        except Deferred as deferred:
            return self._defer(output, host_is_down=deferred.host_is_down)
        except AppError as error:  # of the claims or the event log: it says nothing about the output
            return self._later(output, _ours(error), deliveries)
        if delay is None:
            self._settled.add(output.id)
        return delay

    async def _with_permit(self, output: Output, deliveries: int) -> float | None:
        is_late = self._has_expired(output)
        contacts_host = not (is_late and self.scheduler.is_down(output.host))
        deadline = output.expires_at + _AFTER_ALL_OTHERS if is_late else output.expires_at
        async with self.scheduler.permit(deadline, output.host if contacts_host else _EXPIRED) as permit:
            if is_late == self._has_expired(output):
                async with self.claims.claim(output.stem) as is_ours:
                    if not is_ours:
                        return CLAIMED_RETRY_S
                    fetch = PermittedFetch(output, permit, self.events, self.clock, is_late, contacts_host)
                    return await self._store_or_give_up(fetch, deliveries)
        return await self._with_permit(output, deliveries)  # it has expired while it waited

    async def _store_or_give_up(self, fetch: PermittedFetch, deliveries: int) -> float | None:
        output = fetch.output
        try:
            await self._store(fetch)
        except FetchError as error:
            fetch.note_error(error)
            if error.give_up is GiveUp.AT_EXPIRY and not self._is_over(output, error):
                return self._later(output, error, deliveries)
            await self._give_up(output, error)
        return None

    async def _store(self, fetch: PermittedFetch) -> None:
        output = fetch.output
        request = FetchRequest(
            output.url,
            output.stem,
            likely_kind=output.likely_kind,
            min_bytes=MIN_OUTPUT_BYTES,
            claimed_at=self.clock.monotonic(),
        )
        try:
            stored = await self._find_or_fetch(fetch, request)
            await self.events.completed(output, stored)
        except AppError as error:
            raise _ours(error) from error

    async def _find_or_fetch(self, fetch: PermittedFetch, request: FetchRequest) -> StoredFile:
        try:
            if (stored := await self.fetcher.find_stored(request)) is not None:
                return stored
        except UnreadableBlob as unreadable:
            try:
                return await self._fetch(fetch, request)
            except FetchError as error:  # what is stored may be whole: the origin's no is not the last word
                fetch.note_error(error)
                raise unreadable from error
        return await self._fetch(fetch, request)

    async def _fetch(self, fetch: PermittedFetch, request: FetchRequest) -> StoredFile:
        output = fetch.output
        if not fetch.contacts_host:
            raise FetchError(ErrorCode.UNREACHABLE, "its host has not answered for long")
        self._report_unexpected_host(output)
        await self.events.started(output)
        stored = await fetch.fetch(self.fetcher, request)
        now = self.clock.now()
        self._deferred.of(output.host, now).note_fetched(now)
        return stored

    def _report_unexpected_host(self, output: Output) -> None:
        host = self.expected_hosts.unexpected_host(output.url)
        if host and self._unexpected_hosts.add(host):
            self.alerts.unexpected_host(output, host)

    def _has_expired(self, output: Output) -> bool:
        return retry_policy.has_expired(self.clock.now(), output.expires_at)

    def _is_over(self, output: Output, error: FetchError) -> bool:
        """Trouble of ours loses nothing by itself: the output may be in the store that is away just now."""
        return error.code is not ErrorCode.OURS and self._has_expired(output)

    def _later(self, output: Output, error: FetchError, deliveries: int) -> float:
        """Seconds until the next delivery. Raises the alert when time runs out."""
        self._alert_if_at_risk(output, error.message)
        return retry_policy.redelivery_delay(
            deliveries, now=self.clock.now(), expires_at=output.expires_at, retry_after=error.retry_after
        )

    def _defer(self, output: Output, *, host_is_down: bool) -> float:
        now = self.clock.now()
        if output.id not in self._at_risk:
            self._alert_if_at_risk(output, "its host is away" if host_is_down else "others expire earlier")
        return self._deferred.of(output.host, now).defer(
            output.id, now=now, expires_at=output.expires_at, host_is_down=host_is_down
        )

    def _alert_if_at_risk(self, output: Output, reason: str) -> None:
        now = self.clock.now()
        if retry_policy.is_at_risk(now, output.expires_at):
            self._at_risk.add(output.id)
            self.alerts.at_risk(output, (output.expires_at - now).total_seconds(), reason)

    async def _give_up(self, output: Output, error: FetchError) -> None:
        """Publish that it failed. What was worth another try, had it not expired, is lost."""
        published = error
        if error.give_up is not GiveUp.AT_ONCE and self._has_expired(output):
            published = FetchError(
                ErrorCode.EXPIRED, f"the provider has deleted it; the last try: {error.message}"
            )
            if self._lost.add(output.id):
                self.alerts.lost(output, error.message)
        elif error.is_retryable:  # a fresh address may still help, if somebody requests one in time
            self._alert_if_at_risk(output, f"given up: {error.message}")
        await self.events.failed(output, published)


class BoundedSet:
    """A set that forgets its oldest members."""

    def __init__(self) -> None:
        self._members: dict[Hashable, None] = {}  # in the order of their coming

    def __contains__(self, member: Hashable) -> bool:
        return member in self._members

    def add(self, member: Hashable) -> bool:
        """Whether it is new."""
        if member in self._members:
            return False
        self._members[member] = None
        if len(self._members) > MAX_REMEMBERED:
            del self._members[next(iter(self._members))]
        return True


def _ours(error: AppError) -> FetchError:
    if error.kind not in _PASSING:
        raise error
    return FetchError(ErrorCode.OURS, error.message, retry_after=error.retry_after)
