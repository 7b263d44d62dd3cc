"""Reads generations from their tables, and saves their events: in rows, accounts, journal and outbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Row, Select, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.budget.accounts import SqlAccounts
from catalog.adapters.db import tables as t
from catalog.adapters.db.due import due_ids
from catalog.adapters.db.keyset_pagination import page_of
from catalog.adapters.db.outbox_messages import generation_messages
from catalog.adapters.db.parts import write_parts
from catalog.adapters.db.rows import changed, from_row, make_run, to_row
from catalog.adapters.journal.repository import SqlJournal
from catalog.adapters.outcomes import Outcomes
from catalog.core.budget.domain import Posting
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.evolve import evolve
from catalog.core.generations.domain.model import Attempt, Generation, LostOutput, Media, Output, OutputState
from catalog.core.generations.domain.postings import postings
from catalog.core.generations.domain.recovery import stalled_at
from catalog.core.generations.ports import GenerationFilter
from catalog.core.journal.domain.entry import generation_entry, is_progress
from catalog.core.shared.domain import Error, Facts
from catalog.core.shared.paging import Page, PageRequest
from servicekit.errors import Conflict, NotFound
from servicekit.telemetry import traces

# The statements that each step of a run executes: to build them each time would cost more than to run them.
_ONE = select(t.generations).where(t.generations.c.id == bindparam("of"))
_ONE_LOCKED = _ONE.with_for_update()
_JOB_OF = select(t.generations.c.job_id).where(t.generations.c.id == bindparam("of"))
_OF_ATTEMPT = select(t.attempts.c.generation_id).where(t.attempts.c.id == bindparam("of"))
_OF_PREDICTION = select(t.attempts).where(t.attempts.c.prediction_id == bindparam("of"))
_ATTEMPTS = (
    select(t.attempts)
    .where(t.attempts.c.generation_id.in_(bindparam("of", expanding=True)))
    .order_by(t.attempts.c.number)
)
_OUTPUTS = (
    select(t.outputs, t.media.c.blob_key, t.media.c.facts, t.media.c.deleted_at)
    .select_from(t.outputs.outerjoin(t.media, t.media.c.id == t.outputs.c.media_id))
    .where(t.outputs.c.generation_id.in_(bindparam("of", expanding=True)))
    .order_by(t.outputs.c.index)
)
_ADD = insert(t.generations)
_CHANGE = update(t.generations).where(
    t.generations.c.id == bindparam("of"), t.generations.c.revision == bindparam("known_revision")
)
LOST_OUTPUTS = select(t.outputs, t.generations.c.job_id, t.generations.c.model).join(
    t.generations, t.generations.c.id == t.outputs.c.generation_id
)


class SqlGenerations:
    def __init__(
        self,
        connection: AsyncConnection,
        journal: SqlJournal,
        accounts: SqlAccounts,
        outcomes: Outcomes,
        stalled_after: timedelta,
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._accounts = accounts
        self._outcomes = outcomes
        self._stalled_after = stalled_after

    # Reading ------------------------------------------------------------------------------------

    async def get(self, generation_id: str, *, lock: bool = False, deleted: bool = False) -> Generation:
        query = _ONE_LOCKED if lock else _ONE
        found = (await self._connection.execute(query, {"of": generation_id})).all()
        if not found or (found[0].deleted_at is not None and not deleted):
            raise NotFound(f"there is no generation {generation_id}")
        return (await self._with_parts(found))[0]

    async def job_of(self, generation_id: str) -> str:
        return await self._id(_JOB_OF, generation_id, "generation")

    async def page(self, paging: PageRequest, only: GenerationFilter) -> Page[Generation]:
        columns = t.generations.c
        wanted = (
            (columns.kind, only.kind.value if only.kind else ""),
            (columns.status, only.status.value if only.status else ""),
            (columns.model, only.model),
            (columns.campaign_id, only.campaign_id),
            (columns.job_id, only.job_id),
        )
        conditions = [column == value for column, value in wanted if value]
        query = select(t.generations).where(columns.deleted_at.is_(None), *conditions)
        page = await page_of(self._connection, query, (columns.id,), paging, lambda row: row)
        return Page(tuple(await self._with_parts(page.items)), page.next_token)

    async def of_jobs(self, *job_ids: str, lock: bool = False) -> Sequence[Generation]:
        query = select(t.generations).where(t.generations.c.job_id.in_(job_ids)).order_by(t.generations.c.id)
        return await self._with_parts(
            (await self._connection.execute(query.with_for_update() if lock else query)).all()
        )

    async def of_attempt(self, attempt_id: str) -> str:
        return await self._id(_OF_ATTEMPT, attempt_id, "attempt")

    async def of_prediction(self, prediction_id: str) -> tuple[str, Attempt] | None:
        row = (await self._connection.execute(_OF_PREDICTION, {"of": prediction_id})).first()
        return None if row is None else (row.generation_id, make_attempt(row))

    async def stalled(
        self, at: datetime, limit: int = 1, *, only: str = "", without: Collection[str] = ()
    ) -> Sequence[str]:
        return await due_ids(
            self._connection, t.generations.c.stalled_at, at, limit, only=only, without=without
        )

    async def to_requeue(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        return await due_ids(self._connection, t.generations.c.requeue_at, at, limit, without=without)

    async def traceparents(
        self, generation_ids: Sequence[str], *, job_ids: Sequence[str] = ()
    ) -> Mapping[str, str]:
        columns = t.generations.c
        wanted = or_(columns.id.in_(generation_ids), columns.job_id.in_(job_ids))
        query = select(columns.id, columns.job_id, columns.traceparent).where(wanted)
        known: dict[str, str] = {}
        for row in await self._connection.execute(query.where(columns.traceparent.is_not(None))):
            known[row.id] = known[row.job_id] = row.traceparent
        return known

    async def lost(self, paging: PageRequest) -> Page[LostOutput]:
        columns = t.outputs.c
        query = LOST_OUTPUTS.where(columns.state == OutputState.LOST.value)
        key = (columns.at, columns.generation_id, columns.index)
        return await page_of(self._connection, query, key, paging, make_lost)

    async def media(self, media_id: str) -> Media:
        query = (
            select(t.media, t.generations.c.job_id, t.generations.c.model)
            .join(t.generations, t.generations.c.id == t.media.c.generation_id)
            .where(t.media.c.id == media_id, t.media.c.deleted_at.is_(None))
        )
        row = (await self._connection.execute(query)).first()
        if row is None:
            raise NotFound(f"there is no media {media_id}")
        return from_row(Media, row)

    async def _id(self, query: Select[Any], of: str, noun: str) -> str:
        found = (await self._connection.execute(query, {"of": of})).scalar_one_or_none()
        if found is None:
            raise NotFound(f"there is no {noun} {of}")
        return str(found)

    async def _with_parts(self, found: Sequence[Row[Any]]) -> list[Generation]:
        """The generations of these rows, with their attempts and outputs: two queries for all."""
        ids = [row.id for row in found]
        attempts: dict[str, list[Attempt]] = defaultdict(list)
        outputs: dict[str, list[Output]] = defaultdict(list)
        if ids:
            for row in await self._connection.execute(_ATTEMPTS, {"of": ids}):
                attempts[row.generation_id].append(make_attempt(row))
            for row in await self._connection.execute(_OUTPUTS, {"of": ids}):
                outputs[row.generation_id].append(make_output(row))
        return [make_generation(row, attempts[row.id], outputs[row.id]) for row in found]

    async def after(self, generation_id: str, limit: int) -> Sequence[Generation]:
        """The next ones by their ids, deleted ones too."""
        query = select(t.generations).where(t.generations.c.id > generation_id).order_by(t.generations.c.id)
        return await self._with_parts((await self._connection.execute(query.limit(limit))).all())

    # Changing -----------------------------------------------------------------------------------

    async def save(self, before: Generation | None, events: Sequence[ev.GenerationEvent]) -> Generation:
        state, booked = before, list[Posting]()
        for event in events:
            booked.extend(postings(state, event))
            state = evolve(state, event)
        if state is None:
            raise ValueError("a generation begins with an event")
        if not events:
            return state
        if is_progress(events):
            await self._write(before, state)
            return state
        state = replace(state, revision=state.revision + 1)
        await self._write(before, state)
        await self._accounts.post(booked)
        entry = generation_entry(before, state, events)
        await self._journal.add(entry, generation_messages(state, events))
        self._outcomes.of_generation(state, events)
        return state

    async def _write(self, before: Generation | None, after: Generation) -> None:
        row = generation_row(after, self._stalled_after)
        if before is None:
            trace = traces.inject().get("traceparent")
            await self._connection.execute(_ADD, {**row, "traceparent": trace})
        elif changes := changed(generation_row(before, self._stalled_after), row):
            key = {"of": after.id, "known_revision": before.revision}
            if (await self._connection.execute(_CHANGE, {**changes, **key})).rowcount == 0:
                raise Conflict(f"somebody else has changed {after.id} since it was read: read it again")
        old, write = before or replace(after, attempts=(), outputs=()), partial(write_parts, self._connection)
        await write(t.attempts, attempt_row, after.id, old.attempts, after.attempts, key="id")
        await write(t.outputs, output_row, after.id, old.outputs, after.outputs, key="index")
        await write(t.media, media_row, after.id, with_media(old), with_media(after), key="index")


def generation_row(state: Generation, stalled_after: timedelta) -> dict[str, Any]:
    over = state.final and not state.open_attempts
    return to_row(
        t.generations,
        state,
        provider=state.run.provider,
        model=state.run.model,
        kind=state.run.kind.value,
        status=state.status.value,
        requeue_at=state.requeue_at,
        stalled_at=None if over else stalled_at(state.last_event_at, state.stalled_rounds, stalled_after),
    )


def attempt_row(generation_id: str, attempt: Attempt) -> dict[str, Any]:
    # Null, because the unique index would take the empty text for a prediction.
    return to_row(
        t.attempts, attempt, generation_id=generation_id, prediction_id=attempt.prediction_id or None
    )


def output_row(generation_id: str, output: Output) -> dict[str, Any]:
    """The row of an output. What is stored of it is a row of its own, see `media_row`."""
    return to_row(t.outputs, output, generation_id=generation_id)


def media_row(generation_id: str, output: Output) -> dict[str, Any]:
    facts = output.facts or Facts()
    return to_row(
        t.media,
        output,
        id=output.media_id,
        generation_id=generation_id,
        kind=facts.kind.value,
        size_bytes=facts.size_bytes,
        created_at=output.at,
    )


def with_media(state: Generation) -> list[Output]:
    """The outputs that have a row in `media`: those that came here."""
    return [output for output in state.outputs if output.media_id]


def make_generation(row: Row[Any], attempts: Sequence[Attempt], outputs: Sequence[Output]) -> Generation:
    return from_row(Generation, row, run=make_run(row.run), attempts=tuple(attempts), outputs=tuple(outputs))


def make_attempt(row: Row[Any]) -> Attempt:
    return from_row(Attempt, row, prediction_id=row.prediction_id or "")


def make_output(row: Row[Any]) -> Output:
    """An output of its row, joined with the media's."""
    return from_row(Output, row, blob_key=row.blob_key or "")


def make_lost(row: Row[Any]) -> LostOutput:
    """A lost output of its row, joined with its generation's."""
    error = row.error or Error("download", "could not be fetched")
    return from_row(LostOutput, row, error=error, failed_at=row.at)
