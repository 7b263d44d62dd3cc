"""Every event of a job can be stored and read back, and its tables are the fold of its events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from catalog_core import CatalogCore
from hypothesis import given, settings
from hypothesis import strategies as st
from job_scenario import CHECKED, EDIT, MUSIC, MUSIC_ID, REFUSED, SCENES, approved, cut, stitch_failed, stored
from sqlalchemy import select

from catalog.adapters.db import tables as t
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.jobs.domain import events as je
from catalog.core.jobs.domain.decide import (
    Decision,
    cancel_job,
    create_job,
    delete_cuts,
    pause_job,
    record_generation_ended,
    record_output_deleted,
    record_plan,
    record_stitch_progress,
    repeat_planning,
    request_stitch_again,
    resume_job,
)
from catalog.core.jobs.domain.model import Job, JobRequest, Pair
from catalog.core.shared.domain import RunSpec
from servicekit.database.engine import open_engine

EVENT_TYPES: tuple[type[Any], ...] = tuple(je.JobEvent.__subclasses__())
BY_NAME = {event_type.__name__: event_type for event_type in EVENT_TYPES}

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
st.register_type_strategy(float, finite)
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
json_objects = st.dictionaries(st.text(), json_values)
st.register_type_strategy(RunSpec, st.builds(RunSpec, input=json_objects))
for event_type in (je.JobCreated, je.JobPlanned):
    st.register_type_strategy(event_type, st.builds(event_type, edit=json_objects))


def stored_and_read(event: je.JobEvent) -> je.JobEvent:
    """The event as it comes back from where it was written as JSON."""
    document = json.loads(json.dumps(msgspec.to_builtins(event)))
    return msgspec.convert(document, BY_NAME[type(event).__name__])


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.__name__)
def test_an_event_comes_back_as_it_was_stored(event_type: type[Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.from_type(event_type))
    def comes_back(event: Any) -> None:
        assert stored_and_read(event) == event

    comes_back()


def planned(name: str) -> Decision:
    """A plan whose scenes no other job has."""
    scenes = tuple(replace(scene, id=f"{name}_{scene.id}") for scene in SCENES)
    return partial(record_plan, scenes=scenes, planner="llm", edit=CHECKED, music=MUSIC)


progressed = partial(record_stitch_progress, version=1, message="encoding")
LIVES: dict[str, Sequence[Decision]] = {
    "completed": (
        repeat_planning,
        planned("completed"),
        approved(),
        pause_job,
        resume_job,
        stored(1),
        stored(3),
        stored(2),
        request_stitch_again,
        partial(progressed, percent=12.5),
        stitch_failed(),
        partial(progressed, percent=40.0),
        cut(),
        partial(record_output_deleted, generation_id="gen_1", blob_key="media/gen_1/0.mp4"),
        partial(record_output_deleted, generation_id=MUSIC_ID, blob_key="media/gen_3/0.mp4"),
        delete_cuts,
    ),
    "failed": (
        planned("failed"),
        approved(),
        partial(record_generation_ended, generation_id="gen_1", error=REFUSED),
    ),
    "canceled": (planned("canceled"), cancel_job),
}


async def test_the_rows_are_the_fold_of_the_events(core: CatalogCore, sqlite_database: str) -> None:
    history: list[tuple[str, je.JobEvent]] = []
    for name, decisions in LIVES.items():
        request = JobRequest(1, 4.0, 640, 360, pairs=(Pair("ast_1", "ast_2", "glide", 3.0),))
        state: Job | None = None
        for decision in (None, *decisions):
            core.clock.advance(1.5)
            now = core.clock.now()
            if decision is None or state is None:
                events = create_job(now, f"job_{name}", "cmp_1", request, EDIT, MUSIC)
            else:
                events = decision(state, now)
            assert events, decision
            history += [(name, stored_and_read(event)) for event in events]
            state = await _saved(core.database, state, events)
    assert {type(event) for _, event in history} == set(EVENT_TYPES)

    engine = open_engine(sqlite_database)
    migrator = Migrator(engine)
    await migrator.start()
    rebuilt = SqlDatabase(engine, core.clock, stalled_after=timedelta(seconds=60))
    states: dict[str, Job] = {}
    for name, event in history:
        states[name] = await _saved(rebuilt, states.get(name), (event,))
    for table in (t.jobs, t.scenes, t.cuts):
        assert await _rows(rebuilt, table) == await _rows(core.database, table), table.name
    await migrator.stop()


async def _saved(database: SqlDatabase, before: Job | None, events: je.Events) -> Job:
    """The job as it is read after the events were saved: the same as their fold."""
    async with database.write() as unit:
        after = await unit.jobs.save(before, events)
    async with database.read() as unit:
        assert await unit.jobs.get(after.id) == after
    return after


async def _rows(database: SqlDatabase, table: Any) -> list[dict[str, Any]]:
    async with database.read() as unit:
        rows = [dict(row._mapping) | {"revision": 0} for row in await unit._connection.execute(select(table))]
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])
