"""Every event of a generation can be stored and read back, and its tables are the fold of its events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from catalog_core import IMAGE, VIDEO, CatalogCore
from generation_life import (
    GONE,
    PASSING,
    Life,
    any_step,
    apply,
    failed,
    released,
    submitted,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from catalog.adapters.db import tables as t
from catalog.adapters.db.migrate import Migrator
from catalog.adapters.generations.repository import SqlGenerations
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.core.generations.domain import events as ge
from catalog.core.generations.domain.attempts import record_run_progress
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.evolve import fold
from catalog.core.generations.domain.model import Generation
from catalog.core.generations.domain.recovery import count_loss, requeue_download, warn_of_expiry
from catalog.core.generations.domain.requesting import cancel_generation, postpone_request, request_again
from catalog.core.shared.domain import RunSpec
from servicekit.database.engine import open_engine

EVENT_TYPES: tuple[type[Any], ...] = tuple(ge.GenerationEvent.__subclasses__())
BY_NAME = {event_type.__name__: event_type for event_type in EVENT_TYPES}

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
st.register_type_strategy(float, finite)
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(RunSpec, st.builds(RunSpec, input=st.dictionaries(st.text(), json_values)))


def stored(event: ge.GenerationEvent) -> ge.GenerationEvent:
    """The event as it comes back from where it was written as JSON."""
    document = json.loads(json.dumps(msgspec.to_builtins(event)))
    return msgspec.convert(document, BY_NAME[type(event).__name__])


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.__name__)
def test_an_event_comes_back_as_it_was_stored(event_type: type[Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.from_type(event_type))
    def comes_back(event: Any) -> None:
        assert stored(event) == event

    comes_back()


@settings(max_examples=100, deadline=None)
@given(st.lists(any_step, max_size=30))
def test_the_state_is_the_fold_of_the_stored_events(steps: list[Any]) -> None:
    life = Life()
    for step in steps:
        apply(life, step)
    assert fold(None, [stored(event) for event in life.history]) == life.now


async def test_the_rows_are_the_fold_of_the_events(
    core: CatalogCore, sqlite_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history: list[tuple[str, ge.GenerationEvent]] = []
    save = SqlGenerations.save

    async def recorded_save(
        self: SqlGenerations, before: Generation | None, events: Sequence[ge.GenerationEvent]
    ) -> Generation:
        after = await save(self, before, events)
        history.extend((after.id, stored(event)) for event in events)
        return after

    monkeypatch.setattr(SqlGenerations, "save", recorded_save)
    await _live(core)
    types = {type(event) for _, event in history}
    assert types >= set(EVENT_TYPES) - {ge.AttemptAdopted, ge.OutputRefused}, set(EVENT_TYPES) - types

    engine = open_engine(sqlite_database)
    migrator = Migrator(engine)
    await migrator.start()
    rebuilt = SqlDatabase(engine, core.clock, stalled_after=timedelta(seconds=60))
    states: dict[str, Generation] = {}
    for generation_id, event in history:
        async with rebuilt.write() as unit:
            states[generation_id] = await save(unit.generations, states.get(generation_id), (event,))
    for table in (t.generations, t.attempts, t.outputs, t.media, t.accounts):
        assert await _rows(rebuilt, table) == await _rows(core.database, table), table.name
    await migrator.stop()


async def _live(core: CatalogCore) -> None:
    """Everything that can happen to generations."""
    campaign_id = await core.campaign()
    made = await core.made(VIDEO, IMAGE, campaign_id=campaign_id, lose=True)
    await core.do(made.id, partial(warn_of_expiry, index=2))
    core.clock.advance(61)
    await core.do(made.id, requeue_download)
    await core.do(made.id, failed(made.winner, GONE, prediction_id=f"p-{made.id}"))
    await core.do(made.id, partial(count_loss, index=2))
    await core.do(made.id, partial(delete_generation, index=0))

    missing = await core.made(lose=True)
    await core.do(missing.id, failed(missing.winner, GONE, prediction_id=f"p-{missing.id}"))

    gone = await core.made(VIDEO)
    await core.do(gone.id, delete_generation)

    tried = await core.generation(campaign_id)
    await core.do(tried.id, postpone_request)
    await core.do(tried.id, partial(request_again, stalled=True))
    first = (await core.attempts.begin(tried.id)).attempt
    await core.attempts.begin(tried.id)
    assert first is not None
    await core.do(tried.id, released(first.id, PASSING))
    second = (await core.attempts.begin(tried.id)).attempt
    assert second is not None
    await core.do(tried.id, submitted(second.id))
    core.clock.advance(1)
    await core.do(tried.id, partial(record_run_progress, percent=20.0, message="frame 20"))
    await core.do(tried.id, cancel_generation)
    await core.do(tried.id, failed(second.id))
    waits = await core.generation()
    await core.do(waits.id, cancel_generation)


async def _rows(database: SqlDatabase, table: Any) -> list[dict[str, Any]]:
    async with database.read() as unit:
        rows = [dict(row._mapping) | {"revision": 0} for row in await unit._connection.execute(select(table))]
    if table is t.accounts:  # a row of nothing is made when somebody looks whether there is room
        rows = [row for row in rows if row["spent_micros"] or row["reserved_micros"]]
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])
