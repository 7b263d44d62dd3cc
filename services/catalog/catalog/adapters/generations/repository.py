"""Reads generations from their tables, and saves their events: in rows, accounts, outbox and timeline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, bindparam, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from catalog.adapters.budget.accounts import SqlAccounts
from catalog.adapters.db import tables as t
from catalog.adapters.db.keyset_pagination import decode, encode, page_of
from catalog.adapters.db.outbox_messages import generation_messages
from catalog.adapters.db.rows import changed, from_row
from catalog.adapters.generations import rows
from catalog.adapters.journal.repository import SqlJournal
from catalog.core.budget.domain import Posting
from catalog.core.generations.domain import events as ev
from catalog.core.generations.domain.evolve import evolve
from catalog.core.generations.domain.media import LostOutput, Media
from catalog.core.generations.domain.model import Attempt, Generation, Output, OutputState
from catalog.core.generations.domain.postings import postings
from catalog.core.generations.ports import GenerationFilter
from catalog.core.journal.domain.entry import generation_entry, is_progress
from catalog.core.shared.paging import DEFAULT_PAGE_SIZE, Page, PageRequest
from servicekit.errors import Conflict, NotFound

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
_ADD_ATTEMPT, _CHANGE_ATTEMPT = (
    insert(t.attempts),
    update(t.attempts).where(t.attempts.c.id == bindparam("of")),
)
_ADD_MEDIA, _ADD_OUTPUT = insert(t.media), insert(t.outputs)
_DELETE_MEDIA = update(t.media).where(t.media.c.id == bindparam("of"))
_CHANGE_OUTPUT = update(t.outputs).where(
    t.outputs.c.generation_id == bindparam("of"), t.outputs.c.index == bindparam("at_index")
)


class SqlGenerations:
    def __init__(
        self,
        connection: AsyncConnection,
        journal: SqlJournal,
        accounts: SqlAccounts,
        stalled_after: timedelta,
    ) -> None:
        self._connection = connection
        self._journal = journal
        self._accounts = accounts
        self._stalled_after = stalled_after

    # Reading ------------------------------------------------------------------------------------

    async def get(self, generation_id: str, *, lock: bool = False, deleted: bool = False) -> Generation:
        query = _ONE_LOCKED if lock else _ONE
        found = (await self._connection.execute(query, {"of": generation_id})).all()
        if not found or (found[0].deleted_at is not None and not deleted):
            raise NotFound(f"there is no generation {generation_id}")
        return (await self._with_parts(found))[0]

    async def job_of(self, generation_id: str) -> str:
        job_id = (await self._connection.execute(_JOB_OF, {"of": generation_id})).scalar_one_or_none()
        if job_id is None:
            raise NotFound(f"there is no generation {generation_id}")
        return str(job_id)

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
        page = await page_of(self._connection, query, t.generations, paging, lambda row: row)
        return Page(tuple(await self._with_parts(page.items)), page.next_token)

    async def of_job(self, job_id: str, *, lock: bool = False) -> Sequence[Generation]:
        query = select(t.generations).where(t.generations.c.job_id == job_id).order_by(t.generations.c.id)
        return await self._with_parts(
            (await self._connection.execute(query.with_for_update() if lock else query)).all()
        )

    async def of_attempt(self, attempt_id: str) -> str:
        found = (await self._connection.execute(_OF_ATTEMPT, {"of": attempt_id})).scalar_one_or_none()
        if found is None:
            raise NotFound(f"there is no attempt {attempt_id}")
        return str(found)

    async def of_prediction(self, prediction_id: str) -> tuple[str, Attempt] | None:
        row = (await self._connection.execute(_OF_PREDICTION, {"of": prediction_id})).first()
        return None if row is None else (row.generation_id, rows.make_attempt(row))

    async def stalled(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        return await self._due(t.generations.c.stalled_at, at, limit, without)

    async def to_requeue(self, at: datetime, limit: int, *, without: Collection[str] = ()) -> Sequence[str]:
        return await self._due(t.generations.c.requeue_at, at, limit, without)

    async def lost(self, paging: PageRequest) -> Page[LostOutput]:
        columns = t.outputs.c
        key = (columns.at, columns.generation_id, columns.index)
        query = (
            select(t.outputs, t.generations.c.job_id, t.generations.c.model)
            .join(t.generations, t.generations.c.id == columns.generation_id)
            .where(columns.state == "lost")
            .order_by(*(column.desc() for column in key))
        )
        if paging.token:
            at, generation_id, index = decode(paging.token, str, str, int)
            moment = datetime.fromisoformat(at)
            same = and_(columns.generation_id == generation_id, columns.index < index)
            within = and_(columns.at == moment, or_(columns.generation_id < generation_id, same))
            query = query.where(or_(columns.at < moment, within))
        size = paging.size or DEFAULT_PAGE_SIZE
        found = (await self._connection.execute(query.limit(size + 1))).all()
        items = tuple(rows.make_lost(row) for row in found[:size])
        if len(found) <= size:
            return Page(items)
        last = items[-1]
        return Page(items, encode(last.failed_at.isoformat(), last.generation_id, last.index))

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

    async def _due(self, column: Any, at: datetime, limit: int, without: Collection[str]) -> Sequence[str]:
        due = select(t.generations.c.id).where(column <= at, t.generations.c.id.not_in(without))
        return list((await self._connection.execute(due.order_by(column).limit(limit))).scalars())

    async def _with_parts(self, found: Sequence[Row[Any]]) -> list[Generation]:
        """The generations of these rows, with their attempts and outputs: two queries for all."""
        ids = [row.id for row in found]
        attempts: dict[str, list[Attempt]] = defaultdict(list)
        outputs: dict[str, list[Output]] = defaultdict(list)
        if ids:
            for row in await self._connection.execute(_ATTEMPTS, {"of": ids}):
                attempts[row.generation_id].append(rows.make_attempt(row))
            for row in await self._connection.execute(_OUTPUTS, {"of": ids}):
                outputs[row.generation_id].append(rows.make_output(row))
        return [rows.make_generation(row, attempts[row.id], outputs[row.id]) for row in found]

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
        return state

    async def _write(self, before: Generation | None, after: Generation) -> None:
        row = rows.generation_row(after, self._stalled_after)
        if before is None:
            await self._connection.execute(_ADD, row)
        elif changes := changed(rows.generation_row(before, self._stalled_after), row):
            key = {"of": after.id, "known_revision": before.revision}
            if (await self._connection.execute(_CHANGE, {**changes, **key})).rowcount == 0:
                raise Conflict(f"somebody else has changed {after.id} since it was read: read it again")
        known = {attempt.id: attempt for attempt in before.attempts} if before else {}
        for attempt in after.attempts:
            values = rows.attempt_row(after.id, attempt)
            if attempt.id not in known:
                await self._connection.execute(_ADD_ATTEMPT, values)
            elif attempt != known[attempt.id]:
                await self._connection.execute(_CHANGE_ATTEMPT, {**values, "of": attempt.id})
        await self._write_outputs(before, after)

    async def _write_outputs(self, before: Generation | None, after: Generation) -> None:
        known = {output.index: output for output in before.outputs} if before else {}
        for output in after.outputs:
            if output == known.get(output.index):
                continue
            row = rows.output_row(after.id, output)
            if output.index in known:
                await self._connection.execute(
                    _CHANGE_OUTPUT, {**row, "of": after.id, "at_index": output.index}
                )
            else:
                await self._connection.execute(_ADD_OUTPUT, row)
            if output.state is OutputState.DELETED:
                deleted = {"deleted_at": output.deleted_at, "of": output.media_id}
                await self._connection.execute(_DELETE_MEDIA, deleted)
            elif output.state is OutputState.STORED:
                await self._connection.execute(_ADD_MEDIA, rows.media_row(after.id, output))
