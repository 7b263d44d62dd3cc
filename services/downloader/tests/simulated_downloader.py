"""Simulates an hour of the downloader: its real core, edge, events and claims, with a simulated origin, store
and event log.

Time is virtual: the event loop jumps to the next timer. Everything follows from the case alone.
"""

from __future__ import annotations

import asyncio
import gc
import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from outages import OutageCase, SimOutput
from simulated_event_log import SimulatedEventLog

from downloader.adapters.scheduling.event_publisher import DownloadEventPublisher
from downloader.adapters.scheduling.kv_claims import KvClaims
from downloader.adapters.scheduling.output_alerts import OUTPUTS_LOST
from downloader.core.fetching.domain.fetch_errors import ErrorCode, FetchError
from downloader.core.fetching.domain.responses import ResponseHead
from downloader.core.fetching.domain.ssrf_guard import parse_allowed_hosts
from downloader.core.fetching.fetch import Fetcher, FetchLimits
from downloader.core.fetching.ports import Response
from downloader.core.scheduling.domain.outputs import ExpectedHosts
from downloader.core.scheduling.download_outputs import DownloadOutputs
from downloader.core.scheduling.slot_scheduler import SlotScheduler
from downloader.edges.events import output_handlers, outputs_consumer
from mediakit.facts import Facts
from mediakit.formats import Kind
from rushes.common.v1.media_pb2 import MEDIA_KIND_IMAGE
from rushes.events.v1.events_pb2 import DownloadFailed, Output, PredictionRef, PredictionSucceeded
from servicekit.errors import Unavailable
from servicekit.events import Event
from servicekit.testing import SimulatedClock, run_in_virtual_time
from servicekit.testing.clock import START

HOUR = 3600.0
BODY = b"\x89PNG\r\n\x1a\n" + bytes(5000)
LATENCY, TRANSFER, STORING = 0.1, 1.8, 0.05
"""Seconds of the origin before an answer, of a body, of one call to the store."""

FETCH_S = STORING + LATENCY + TRANSFER + STORING
"""Seconds of a slot that one fetch takes: a request to the store, the fetch, the storing."""


class SimulatedOrigin:
    def __init__(self, case: OutageCase) -> None:
        self.case = case
        self.outputs = {output.number: output for output in case.outputs}
        self.served = Counter()
        self.requests = 0

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str]) -> AsyncIterator[Response]:
        output = self.outputs[int(url.rpartition("/")[2])]
        self.requests += 1
        await asyncio.sleep(LATENCY)
        now = asyncio.get_running_loop().time()
        outage = self.case.until(output.host, now)
        if outage is None or outage.how == "503":
            status = 503 if outage else 200 if now < output.expiry else 404
            size = {"content-length": str(len(BODY))} if status == 200 else {}
            yield Response(ResponseHead(status, size), self._body(output))
            return
        if outage.how == "silent":
            await asyncio.sleep(10.0)
        raise FetchError(ErrorCode.UNREACHABLE, "no answer")

    async def _body(self, output: SimOutput) -> AsyncIterator[bytes]:
        yield BODY[:4500]
        await asyncio.sleep(TRANSFER)
        now = asyncio.get_running_loop().time()
        if self.case.until(output.host, now) or now >= output.expiry:
            raise FetchError(ErrorCode.INTERRUPTED, "broken")
        yield BODY[4500:]
        self.served[output.number] += 1


class SimulatedStorage:
    def __init__(self, case: OutageCase) -> None:
        self.case = case
        self.files: dict[str, bytes] = {}

    async def _reach(self) -> None:
        await asyncio.sleep(STORING)
        if self.case.until("store", asyncio.get_running_loop().time()):
            await asyncio.sleep(2.0)
            raise Unavailable("the store is away")

    async def find(self, stem: str) -> list[str]:
        await self._reach()
        return [key for key in (f"{stem}.png",) if key in self.files]

    def upload(self, key: str, content_type: str) -> SimulatedUpload:
        return SimulatedUpload(self, key)

    async def read(self, key: str, path: SpoolInMemory) -> None:
        await self._reach()
        path.append(self.files[key])


class SimulatedUpload:
    def __init__(self, store: SimulatedStorage, key: str) -> None:
        self.store, self.key, self.data = store, key, bytearray()

    async def write(self, data: bytes) -> None:
        self.data += data

    async def complete(self) -> None:
        await self.store._reach()
        self.store.files[self.key] = bytes(self.data)

    async def abort(self) -> None:
        pass


class SpoolInMemory(io.BytesIO):
    """A spool file that is its own path."""

    @property
    def path(self) -> SpoolInMemory:
        return self

    def open(self, mode: str = "rb", buffering: int = 0) -> io.BytesIO:
        return io.BytesIO(self.getvalue())

    def append(self, data: bytes) -> None:
        self.write(data)

    def flush(self) -> None:
        pass

    def clear(self) -> None:
        self.seek(0)
        self.truncate()


class SimulatedSpool:
    @asynccontextmanager
    async def file(self) -> AsyncIterator[SpoolInMemory]:
        with SpoolInMemory() as file:
            yield file


class SimulatedProber:
    async def probe(self, path: SpoolInMemory, container: object, *, start_decoded: bool = False) -> Facts:
        return Facts(Kind.IMAGE)

    async def start_decodes(self, path: SpoolInMemory, container: object) -> bool:
        return False


class RecordingAlerts:
    def __init__(self) -> None:
        self.warned: set[str] = set()
        self.counted: list[str] = []

    def at_risk(self, output, seconds_left: float, reason: str) -> None:
        self.warned.add(output.generation)

    def lost(self, output, reason: str) -> None:
        OUTPUTS_LOST.inc()
        self.counted.append(output.generation)

    def unexpected_host(self, output, host: str) -> None:
        pass


@dataclass
class Result:
    log: SimulatedEventLog
    store: SimulatedStorage
    origin: SimulatedOrigin
    alerts: RecordingAlerts
    ended: float

    def lost(self) -> set[int]:
        """Those lost; and whatever was not lost is stored whole, once, and published."""
        lost = {
            int(event.key)
            for event in self.log.published.values()
            if event.type == "download.failed" and event.message(DownloadFailed).error.code == "expired"
        }
        completed = Counter(
            int(event.key) for event in self.log.published.values() if event.type == "download.completed"
        )
        everything = {output.number for output in self.origin.case.outputs}
        assert set(completed) == everything - lost
        assert set(completed.values()) <= {1}
        assert set(self.store.files) == {f"media/{number}/0.png" for number in everything - lost}
        assert set(self.store.files.values()) <= {BODY}
        assert Counter(self.alerts.counted) == Counter({str(number): 1 for number in lost})
        known = {output.number for output in self.origin.case.outputs if not self.log.case.hides(output)}
        assert {str(number) for number in lost & known} <= self.alerts.warned
        return lost


def run(case: OutageCase) -> Result:
    before = OUTPUTS_LOST._value.get()
    gc.disable()  # it would go through 10,000 waiting tasks again and again
    try:
        result = run_in_virtual_time(_run(case))
    finally:
        gc.enable()
    assert OUTPUTS_LOST._value.get() - before == len(result.alerts.counted)
    return result


async def _run(case: OutageCase) -> Result:
    clock, loop = SimulatedClock.of_loop(), asyncio.get_running_loop()
    spec = outputs_consumer(20_000)
    log = SimulatedEventLog(case, spec.max_in_flight, spec.slots, spec.ack_wait)
    storage, origin, alerts = SimulatedStorage(case), SimulatedOrigin(case), RecordingAlerts()
    for _ in range(case.replicas):
        fetcher = Fetcher(
            origin=origin,
            storage=storage,
            spool=SimulatedSpool(),
            prober=SimulatedProber(),
            clock=clock,
            allowed=parse_allowed_hosts([]),
            limits=FetchLimits(),
        )
        downloads = DownloadOutputs(
            fetcher=fetcher,
            events=DownloadEventPublisher(log),
            claims=KvClaims(log),
            alerts=alerts,
            scheduler=SlotScheduler(case.slots // case.replicas),
            expected_hosts=ExpectedHosts(),
            clock=clock,
        )
        log.handlers.append(output_handlers(downloads, clock)["prediction.succeeded"])
        log.leased.append(set())
    for output in case.outputs:
        loop.call_at(output.arrival, log.add, event(output))
    for outage in case.outages:
        if outage.part == "log":
            loop.call_at(outage.end + 0.1, log.deliver)
    while len(log.stream) < len(case.outputs) or log.in_flight or log.delivered < len(log.stream):
        await asyncio.sleep(10.0)
        assert loop.time() < 3 * HOUR, f"{len(log.in_flight)} events are never settled"
    return Result(log, storage, origin, alerts, loop.time())


def event(output: SimOutput) -> Event:
    expires_at = Timestamp()
    expires_at.FromDatetime(START + timedelta(seconds=output.expiry))
    message = PredictionSucceeded(
        prediction=PredictionRef(generation_id=str(output.number), attempt_id="a", round=1),
        outputs=[
            Output(
                source_url=f"https://{output.host}/{output.number}", blob_key_stem=f"media/{output.number}/0"
            )
        ],
        kind=MEDIA_KIND_IMAGE,
        expires_at=expires_at,
    )
    return Event(str(output.number), "prediction.succeeded", str(output.number), message.SerializeToString())
