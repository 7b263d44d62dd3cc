"""The catalog's use cases over a fresh database, without edges, for the contracts over both databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from generation_life import lost, stored, succeeded
from sqlalchemy import select

from catalog.adapters.db import tables as t
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.budget.domain import Account
from catalog.core.campaigns.service import AssetService, CampaignService, ClientService
from catalog.core.generations.apply import lock_generation, save_generation
from catalog.core.generations.attempts import AttemptLimits, AttemptService
from catalog.core.generations.domain.model import Generation
from catalog.core.generations.domain.requesting import Decision, create_generation
from catalog.core.jobs.domain.decide import create_job, fail_job
from catalog.core.jobs.domain.events import CutStored
from catalog.core.jobs.domain.model import Job, JobRequest
from catalog.core.shared.domain import Error, Facts, MediaKind, RunSpec
from catalog.core.shared.paging import PageRequest
from catalog.core.storage.admin import StorageAdmin
from catalog.core.storage.domain.blob_keys import cut_key, cut_thumbnail_key
from catalog.core.storage.domain.files import StoredFile
from rushes.events.v1 import events_pb2
from servicekit.ids import new_id
from servicekit.testing import SimulatedClock

PRICE = 300
RUN = RunSpec(
    "replicate", "rushes/instant", "v1", MediaKind.VIDEO, {"prompt": "x", "n": 2.5, "o": [1, None]}, PRICE
)


DAY = 86_400.0
VIDEO, IMAGE, CUT = (
    Facts(MediaKind.VIDEO, "video/mp4", 700, "a" * 64),
    Facts(MediaKind.IMAGE, "image/png", 30, "b" * 64),
    Facts(MediaKind.VIDEO, "video/mp4", 5000, "c" * 64),
)


class CatalogCore:
    """Use cases over a database, and steps that bring it records in every state."""

    def __init__(self, database: SqlDatabase, clock: SimulatedClock) -> None:
        self.database = database
        self.clock = clock
        self.clients = ClientService(database, clock)
        self.campaigns = CampaignService(database, clock)
        self.assets = AssetService(database, clock)
        self.attempts = AttemptService(database, clock, AttemptLimits())
        self.storage_admin = StorageAdmin(database, clock)

    async def campaign(self, cents: int | None = None) -> str:
        client = await self.clients.create(name="c", metadata={"a": 1})
        campaign = await self.campaigns.create(client_id=client.id, name="Spring", budget_cents=cents)
        return campaign.id

    async def generation(self, campaign_id: str = "", run: RunSpec = RUN, job_id: str = "") -> Generation:
        self.clock.advance(0.001)
        events = create_generation(
            self.clock.now(), new_id("generation"), run, campaign_id=campaign_id, job_id=job_id
        )
        async with self.database.write() as unit:
            return await unit.generations.save(None, events)

    async def do(self, generation_id: str, decision: Decision, *, deleted: bool = False) -> Generation:
        async with self.database.write() as unit:
            job, generation = await lock_generation(unit, generation_id, deleted=deleted)
            events = decision(generation, self.clock.now())
            return await save_generation(unit, job, generation, events)

    async def get(self, generation_id: str) -> Generation:
        async with self.database.read() as unit:
            return await unit.generations.get(generation_id)

    async def accounts(self, *names: str) -> Sequence[Account]:
        async with self.database.write() as unit:
            found = await unit.accounts.lock(names)
        return [found[name] for name in names]

    async def made(
        self,
        *files: Facts,
        campaign_id: str = "",
        job_id: str = "",
        lose: bool = False,
        may_come: bool = False,
    ) -> Generation:
        """A generation that went well, with these outputs; `lose`: one more was lost, unless it may come."""
        made = await self.generation(campaign_id, RUN, job_id)
        attempt = (await self.attempts.begin(made.id)).attempt
        assert attempt is not None
        await self.attempts.record_submitted(attempt.id, f"p-{made.id}")
        now = self.clock.now()
        ends = now + timedelta(hours=1)
        count = len(files) + lose
        announced = succeeded(
            attempt.id, prediction_id=f"p-{made.id}", outputs=count, cost=200, expires_at=ends
        )
        after = await self.do(made.id, announced)
        for index, facts in enumerate(files):
            key = f"media/{made.id}/{index}.mp4"
            after = await self.do(made.id, stored(attempt.id, index, new_id("media"), facts, key))
        if lose:
            given_up = lost(attempt.id, len(files), retryable=may_come, round_=1, expires_at=ends)
            after = await self.do(made.id, given_up)
        return after

    async def job(self, campaign_id: str) -> Job:
        request, edit = JobRequest(1, 2.0, 640, 360), {"width": 640, "height": 360, "fps": 25.0}
        created = create_job(self.clock.now(), new_id("job"), campaign_id, request, edit)
        async with self.database.write() as unit:
            return await unit.jobs.save(None, created)

    async def end(self, job: Job, *, cut: bool = False) -> Job:
        """The job at its end: failed; `cut`: when it had a cut already."""
        now = self.clock.now()
        stored = CutStored(now, 1, cut_key(job.id, 1), cut_thumbnail_key(job.id, 1), CUT)
        async with self.database.write() as unit:
            state = await unit.jobs.get(job.id, lock=True)
            events = fail_job(state, now, error=Error("x", "x"))
            return await unit.jobs.save(state, (stored, *events) if cut else events)

    async def outbox(self, type_: str) -> list[tuple[str, bytes]]:
        """Keys and messages of the events of a type, oldest first."""
        query = (
            select(t.outbox.c.key, t.outbox.c.data).where(t.outbox.c.type == type_).order_by(t.outbox.c.id)
        )
        async with self.database.read() as unit:
            return [(key, data) for key, data in await unit._connection.execute(query)]

    async def removed(self) -> list[list[str]]:
        """The keys that are to be removed, event by event."""
        rows = await self.outbox("media.deleted")
        return [list(events_pb2.MediaDeleted.FromString(data).blob_keys) for _, data in rows]

    async def all_files(self, size: int = 3) -> list[StoredFile]:
        found: list[StoredFile] = []
        request = PageRequest(size=size)
        while True:
            page = (await self.storage_admin.stats(request)).files
            found += page.items
            if not page.next_token:
                return found
            request = PageRequest(size, page.next_token)
