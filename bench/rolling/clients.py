"""Clients of a cluster: they create jobs and generations, read, follow events, and count what goes wrong."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.rolling.replicas import Cluster

PATIENCE_S = 60.0
"""For how long a client repeats a request that may be repeated."""
FINAL_S = 180.0
"""Until a job or a generation must be final."""
FINAL = ("completed", "failed", "canceled")

_TEMPORARY = (502, 503, 504)
_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.5)
_READ_EVERY_S = 0.1
_FOLLOW_EVERY_S = 0.5
_FAILED_S = 1.0
"""After a request that failed, so that a fault does not become a flood."""


@dataclass(frozen=True)
class Pace:
    """How much is requested while the services are restarted.

    Args:
        jobs, generations: under way at the same time; the next is requested when one is final. (Requested by
            the clock, they would pile up on a busy machine.)
        scenes: of each job, of one second each.
    """

    jobs: int
    generations: int
    scenes: int


class RequestFailed(Exception):  # noqa: N818  # what happened
    """A request that a careful client may not repeat, or has repeated for long enough."""


@dataclass
class Tally:
    """What happened to requests."""

    sent: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    """By reason."""
    failed: list[str] = field(default_factory=list)


@dataclass
class Gap:
    """The longest time between two answers of one reader, in seconds."""

    longest: float = 0.0
    reads: int = 0
    _last: float = field(default_factory=time.monotonic)

    def answered(self) -> None:
        self.end()
        self.reads += 1

    def end(self) -> None:
        """Count the time since the last answer, also where none comes any more."""
        now = time.monotonic()
        self.longest = max(self.longest, now - self._last)
        self._last = now


class Client:
    """Sends each request to the next gateway, and repeats it where that can do no harm.

    A GET is repeated after every error that may pass. A POST only when it was certainly not sent: nobody
    could be connected to. Connections are kept open and used again, also for POSTs.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.tally = Tally()
        self._cluster = cluster
        self._turn = 0
        self.http = httpx.AsyncClient(headers={"X-API-Key": cluster.key}, timeout=30.0)

    async def close(self) -> None:
        await self.http.aclose()

    def next_gateway(self) -> str:
        gateways = self._cluster.gateways
        self._turn += 1
        return gateways[self._turn % len(gateways)]

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self._send("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Any:
        return (await self._send("POST", path, **more)).json()

    async def pages(self, path: str, name: str) -> list[dict[str, Any]]:
        """All records of a list."""
        records: list[dict[str, Any]] = []
        token = ""
        while True:
            query = {"page_size": 200, "page_token": token} if token else {"page_size": 200}
            page = (await self.get(path, params=query)).json()
            records += page[name]
            token = page["next_page_token"]
            if not token:
                return records

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        self.tally.sent += 1
        deadline, tries = time.monotonic() + PATIENCE_S, 0
        while True:
            try:
                answer = await self.http.request(method, self.next_gateway() + path, **more)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                reason, harmless = "connection refused", True
            except httpx.TransportError as error:
                reason, harmless = f"connection cut ({type(error).__name__})", method == "GET"
            else:
                if answer.is_success:
                    return answer
                reason = f"{answer.status_code} {answer.text[:300]}"
                harmless = method == "GET" and answer.status_code in _TEMPORARY
            if not harmless or time.monotonic() > deadline:
                self.tally.failed.append(f"{method} {path}: {reason}")
                raise RequestFailed(self.tally.failed[-1])
            self.tally.repeated[reason[:3] if reason[0].isdigit() else reason] += 1
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1


class Subscriber:
    """Follows all events, and comes back with the id of the last one it has seen."""

    def __init__(self, client: Client) -> None:
        self.seen: list[tuple[int, str]] = []
        """Sequence and type of every event, in the order in which they came."""
        self.ended: Counter[str] = Counter()
        """How streams have ended, by reason."""
        self.position = 0
        self.longest_gap = 0.0
        """Seconds from the end of a stream to the beginning of the next."""
        self._client = client

    async def run(self) -> None:
        """Follow until cancelled."""
        tries = 0
        lost_at: float | None = None
        while True:
            url = f"{self._client.next_gateway()}/api/v3/events"
            last = {"Last-Event-ID": str(self.position)}
            try:
                async with self._client.http.stream("GET", url, headers=last) as answer:
                    if answer.status_code == httpx.codes.OK:
                        tries = 0
                        if lost_at is not None:
                            self.longest_gap = max(self.longest_gap, time.monotonic() - lost_at)
                        lost_at = None
                        await self._read(answer)
                    reason = "in order" if answer.is_success else str(answer.status_code)
            except httpx.TransportError as error:
                reason = type(error).__name__
            self.ended[reason] += 1
            lost_at = lost_at if lost_at is not None else time.monotonic()
            await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
            tries += 1

    async def _read(self, answer: httpx.Response) -> None:
        number, type_ = 0, ""
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif name == "event":
                type_ = value
            elif not line and number:  # the end of a block: only then has it been received
                if type_:
                    self.seen.append((number, type_))
                self.position = max(self.position, number)
                number, type_ = 0, ""


class Load:
    """Jobs and generations at a steady pace, and readers that never pause for long."""

    def __init__(self, client: Client, campaign_id: str, pace: Pace) -> None:
        self.client = client
        self.jobs: list[dict[str, Any]] = []
        """Each as it was when it became final."""
        self.generations: list[dict[str, Any]] = []
        """The same for those that belong to no job."""
        self.late: list[str] = []
        """What was not final in time."""
        self.gaps = {"job list": Gap(), "ranges of a cut": Gap()}
        self.wrong: list[str] = []
        """Answers that were not what was requested."""
        self.subscriber = Subscriber(client)
        self._campaign_id = campaign_id
        self._pace = pace
        self._ending = False

    @classmethod
    async def prepare(cls, client: Client, photos: list[Path], pace: Pace) -> Load:
        """Make a campaign with photos, and wait for its first cut: the one that is read."""
        owner = await client.post("/api/v3/clients", json={"name": "Harbour Homes"})
        body = {"name": "Spring", "client_id": owner["id"]}
        campaign = await client.post("/api/v3/campaigns", json=body)
        for photo in photos:
            form = {"campaign_id": campaign["id"], "tags": photo.stem}
            files = {"file": (photo.name, photo.read_bytes())}
            await client.post("/api/v3/assets", data=form, files=files)
        load = cls(client, campaign["id"], pace)
        await load._job()
        if not load.jobs or load.jobs[0]["status"] != "completed":
            raise AssertionError(f"the first job did not complete: {load.jobs or load.late or client.tally}")
        return load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the cluster meanwhile. At the end, wait until all that was requested is final."""
        cut = self.jobs[0]["result"]["url"]
        whole = (await self.client.get(cut)).content
        self.gaps = {name: Gap() for name in self.gaps}
        self._ending = False
        requesting = [
            *(asyncio.create_task(self._repeat(self._job)) for _ in range(self._pace.jobs)),
            *(asyncio.create_task(self._repeat(self._generation)) for _ in range(self._pace.generations)),
        ]
        reading = [
            asyncio.create_task(self._read("job list", self._read_list)),
            asyncio.create_task(self._read("ranges of a cut", lambda: self._read_range(cut, whole))),
            asyncio.create_task(self.subscriber.run()),
        ]
        try:
            yield
            self._ending = True
            await asyncio.gather(*requesting)
            for gap in self.gaps.values():
                gap.end()
            # They read until they are ended here: one that has ended before has met an error of its own.
            self.wrong += [f"a reader ended: {reader.exception()!r}" for reader in reading if reader.done()]
        finally:
            await _end([*requesting, *reading])

    async def follow_until(self, sequence: int) -> None:
        """Let the subscriber follow on until it is there, for half a minute at most."""
        following = asyncio.create_task(self.subscriber.run())
        deadline = time.monotonic() + 30.0
        while self.subscriber.position < sequence and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await _end([following])

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._ending:
            await work()

    async def _read(self, name: str, read: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await read()
            except RequestFailed:
                await asyncio.sleep(_FAILED_S)  # counted where it failed
                continue
            self.gaps[name].answered()
            await asyncio.sleep(_READ_EVERY_S)

    async def _read_list(self) -> None:
        page = (await self.client.get("/api/v3/jobs", params={"page_size": 20})).json()
        if not page["jobs"]:
            self.wrong.append("a list of jobs without one")

    async def _read_range(self, cut: str, whole: bytes) -> None:
        start = random.randrange(len(whole))  # noqa: S311  # any place will do
        end = min(start + 65_535, len(whole) - 1)
        answer = await self.client.get(cut, headers={"Range": f"bytes={start}-{end}"})
        if answer.status_code != httpx.codes.PARTIAL_CONTENT or answer.content != whole[start : end + 1]:
            self.wrong.append(f"bytes {start}-{end} of {cut}: {answer.status_code}")

    async def _job(self) -> None:
        request = {
            "scene_count": self._pace.scenes,
            "scene_seconds": 1,
            "size": "640x360",
            "music": {"prompt": "calm"},
        }
        try:
            job = await self.client.post(f"/api/v3/campaigns/{self._campaign_id}/create-job", json=request)
            path = f"/api/v3/jobs/{job['id']}"
            planned = await self._reached(path, ("awaiting_approval", *FINAL))
            if planned is not None:
                await self.client.post(f"{path}/approve", json={})
                done = await self._reached(path, FINAL)
                self.jobs += [done] if done is not None else []
        except RequestFailed:
            await asyncio.sleep(_FAILED_S)  # counted where it failed

    async def _generation(self) -> None:
        try:
            body = {"model": "rushes/instant", "input": {}}
            made = await self.client.post("/api/v3/generations", json=body)
            done = await self._reached(f"/api/v3/generations/{made['id']}", FINAL)
            self.generations += [done] if done is not None else []
        except RequestFailed:
            await asyncio.sleep(_FAILED_S)  # counted where it failed

    async def _reached(self, path: str, statuses: tuple[str, ...]) -> dict[str, Any] | None:
        """The record when it is in one of the states; None, and it is late, when it takes too long."""
        deadline = time.monotonic() + FINAL_S
        while time.monotonic() < deadline:
            record: dict[str, Any] = (await self.client.get(path)).json()
            if record["status"] in statuses:
                return record
            await asyncio.sleep(_FOLLOW_EVERY_S)
        self.late.append(f"{path} is {record['status']} after {FINAL_S:g} s")
        return None


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
