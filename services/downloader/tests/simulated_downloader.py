"""A virtual hour of the downloader: its real core, edge, facts and claims, with an origin, store and log.

Time is virtual: the event loop jumps to the next timer. Everything is replayed from the case alone.
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
from simulated_event_log import Log
from virtual_time import START, Case, Job, VirtualClock, in_no_time

from downloader.adapters.scheduling.alerts import OUTPUTS_LOST, LoggedAlarms
from downloader.adapters.scheduling.event_publisher import LoggedFacts
from downloader.adapters.scheduling.kv_claims import SharedClaims
from downloader.core.containers.domain import Kind, Measured
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed
from downloader.core.fetching.domain.host_allowlist_report import Expected
from downloader.core.fetching.domain.resume import Head
from downloader.core.fetching.domain.ssrf_guard import parse_allowed
from downloader.core.fetching.fetch import Fetcher, Limits
from downloader.core.fetching.ports import Answer, Found
from downloader.core.scheduling.download_outputs import Downloads
from downloader.core.scheduling.slot_scheduler import Turns
from downloader.edges.events import Outputs, outputs_consumer
from rushes.common.v1.media_pb2 import MEDIA_KIND_IMAGE
from rushes.events.v1.events_pb2 import DownloadFailed, Output, PredictionRef, PredictionSucceeded
from servicekit.errors import Unavailable
from servicekit.events import Event

HOUR = 3600.0
BODY = b"\x89PNG\r\n\x1a\n" + bytes(5000)
LATENCY, TRANSFER, STORING = 0.1, 1.8, 0.05
"""Seconds of the origin before an answer, of a body, of one call to the store."""

FETCH_S = STORING + LATENCY + TRANSFER + STORING
"""Seconds of a slot that one fetch takes: a look into the store, the fetch, the storing."""


class Origin:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.jobs = {job.number: job for job in case.jobs}
        self.given = Counter()
        self.asked = 0

    @asynccontextmanager
    async def get(self, url: str, headers: dict[str, str]) -> AsyncIterator[Answer]:
        job = self.jobs[int(url.rpartition("/")[2])]
        self.asked += 1
        await asyncio.sleep(LATENCY)
        now = asyncio.get_running_loop().time()
        outage = self.case.until(job.host, now)
        if outage is None or outage.how == "503":
            status = 503 if outage else 200 if now < job.expiry else 404
            size = {"content-length": str(len(BODY))} if status == 200 else {}
            yield Answer(Head(status, size), self._body(job))
            return
        if outage.how == "silent":
            await asyncio.sleep(10.0)
        raise FetchFailed(Code.UNREACHABLE, "no answer")

    async def _body(self, job: Job) -> AsyncIterator[bytes]:
        yield BODY[:4500]
        await asyncio.sleep(TRANSFER)
        now = asyncio.get_running_loop().time()
        if self.case.until(job.host, now) or now >= job.expiry:
            raise FetchFailed(Code.INTERRUPTED, "broken")
        yield BODY[4500:]
        self.given[job.number] += 1


class Store:
    def __init__(self, case: Case) -> None:
        self.case = case
        self.files: dict[str, bytes] = {}

    async def _reach(self) -> None:
        await asyncio.sleep(STORING)
        if self.case.until("store", asyncio.get_running_loop().time()):
            await asyncio.sleep(2.0)
            raise Unavailable("the store is away")

    async def find(self, stem: str) -> list[Found]:
        await self._reach()
        data = self.files.get(f"{stem}.png")
        return [] if data is None else [Found(f"{stem}.png", len(data))]

    async def upload(self, key: str, content_type: str) -> Upload:
        return Upload(self, key)

    async def read(self, key: str, path: File) -> None:
        await self._reach()
        path.append(self.files[key])


class Upload:
    def __init__(self, store: Store, key: str) -> None:
        self.store, self.key, self.data = store, key, bytearray()

    async def write(self, data: bytes) -> None:
        self.data += data

    async def complete(self) -> None:
        await self.store._reach()
        self.store.files[self.key] = bytes(self.data)

    async def abort(self) -> None:
        pass


class File(io.BytesIO):
    """A spool file that is its own path."""

    @property
    def path(self) -> File:
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

    def remove(self) -> None:
        self.close()


class Spool:
    def open(self) -> File:
        return File()


class Prober:
    async def probe(self, path: File, container: object, *, begun: bool = False) -> Measured:
        return Measured(Kind.IMAGE)

    async def begins_well(self, path: File, container: object) -> bool:
        return False


class Alarms(LoggedAlarms):
    def __init__(self) -> None:
        super().__init__()
        self.warned: set[str] = set()
        self.counted: list[str] = []

    def at_risk(self, output, seconds_left: float, reason: str) -> None:
        self.warned.add(output.generation)

    def lost(self, output, reason: str) -> None:
        OUTPUTS_LOST.inc()
        self.counted.append(output.generation)


@dataclass
class Result:
    log: Log
    store: Store
    origin: Origin
    alarms: Alarms
    ended: float

    def lost(self) -> set[int]:
        """Those lost; and whatever was not lost is stored whole, once, and said."""
        lost = {
            int(event.key)
            for event in self.log.said.values()
            if event.type == "download.failed" and event.message(DownloadFailed).failure.code == "expired"
        }
        said = Counter(
            int(event.key) for event in self.log.said.values() if event.type == "download.completed"
        )
        everything = {job.number for job in self.origin.case.jobs}
        assert set(said) == everything - lost
        assert set(said.values()) <= {1}
        assert set(self.store.files) == {f"media/{number}/0.png" for number in everything - lost}
        assert set(self.store.files.values()) <= {BODY}
        assert Counter(self.alarms.counted) == Counter({str(number): 1 for number in lost})
        told = {job.number for job in self.origin.case.jobs if not self.log.case.hides(job)}
        assert {str(number) for number in lost & told} <= self.alarms.warned
        return lost


def run(case: Case) -> Result:
    before = OUTPUTS_LOST._value.get()
    gc.disable()  # it would look through 10,000 waiting tasks again and again
    try:
        result = in_no_time(_run(case))
    finally:
        gc.enable()
    assert OUTPUTS_LOST._value.get() - before == len(result.alarms.counted)
    return result


async def _run(case: Case) -> Result:
    clock, loop = VirtualClock(), asyncio.get_running_loop()
    spec = outputs_consumer(20_000)
    log = Log(case, spec.max_in_flight, spec.slots, spec.ack_wait)
    store, origin, alarms = Store(case), Origin(case), Alarms()
    for _ in range(case.replicas):
        fetcher = Fetcher(
            origin=origin,
            store=store,
            spool=Spool(),
            prober=Prober(),
            clock=clock,
            allowed=parse_allowed([]),
            limits=Limits(),
        )
        downloads = Downloads(
            fetcher=fetcher,
            facts=LoggedFacts(log),
            claims=SharedClaims(log),
            alarms=alarms,
            turns=Turns(case.slots // case.replicas),
            expected=Expected(),
            clock=clock,
        )
        log.handlers.append(Outputs(downloads, clock).succeeded)
        log.hands.append(set())
    for job in case.jobs:
        loop.call_at(job.arrival, log.add, event(job))
    for outage in case.outages:
        if outage.part == "log":
            loop.call_at(outage.end + 0.1, log.deliver)
    while len(log.stream) < len(case.jobs) or log.in_flight or log.given < len(log.stream):
        await asyncio.sleep(10.0)
        assert loop.time() < 3 * HOUR, f"{len(log.in_flight)} events are never settled"
    return Result(log, store, origin, alarms, loop.time())


def event(job: Job) -> Event:
    expires_at = Timestamp()
    expires_at.FromDatetime(START + timedelta(seconds=job.expiry))
    message = PredictionSucceeded(
        prediction=PredictionRef(generation_id=str(job.number), attempt_id="a", round=1),
        outputs=[
            Output(source_url=f"https://{job.host}/{job.number}", blob_key_stem=f"media/{job.number}/0")
        ],
        kind=MEDIA_KIND_IMAGE,
        expires_at=expires_at,
    )
    return Event(str(job.number), "prediction.succeeded", str(job.number), message.SerializeToString())
