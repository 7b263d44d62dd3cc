"""Operators are warned of lost outputs before they expire, and these are counted: once, over all replicas."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alembic import command
from catalog_core import VIDEO, CatalogCore
from generation_life import EXPIRES, GONE, ended, failed, lost, stored
from sqlalchemy import Connection, column, insert, select, table

from catalog.adapters.db import tables
from catalog.adapters.db.migrate import alembic_config
from catalog.adapters.generations.repository import generation_row, output_row
from catalog.adapters.unit_of_work import SqlDatabase
from catalog.adapters.watchdog.alerts import LoggedAlerts
from catalog.core.generations.domain.deletion import delete_generation
from catalog.core.generations.domain.model import LostOutput, OutputState, Stage
from catalog.core.generations.domain.recovery import count_loss, requeue_download, warn_of_expiry
from catalog.core.shared.domain import EXPIRED
from catalog.core.watchdog.expiry_alerts import ExpiryAlerts
from servicekit.clock import SystemClock
from servicekit.database.engine import open_engine
from servicekit.outbox.tables import micros
from servicekit.telemetry.alert_metrics import OUTPUTS_AT_RISK, OUTPUTS_LOST


class RecordedAlerts(LoggedAlerts):
    """The alerts, in words."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def at_risk(self, output: LostOutput, seconds_left: float) -> None:
        super().at_risk(output, seconds_left)
        self.texts.append(f"{output.index} at risk, {seconds_left:g} s left: {output.error.code}")

    def lost(self, output: LostOutput) -> None:
        super().lost(output)
        self.texts.append(f"{output.index} lost: {output.error.code}")


async def test_an_output_in_the_retry_queue_is_warned_of_before_it_expires_and_counted_once(
    core: CatalogCore,
) -> None:
    alerts = RecordedAlerts()
    replicas = [ExpiryAlerts(core.database, alerts, core.clock) for _ in range(2)]
    risk, lost = OUTPUTS_AT_RISK._value.get(), OUTPUTS_LOST._value.get()

    async def alerted() -> list[str]:
        alerts.texts.clear()
        for replica in replicas:
            await replica.run_once()
        return list(alerts.texts)

    await core.made(lose=True)
    core.clock.advance(49 * 60)
    assert await alerted() == []
    core.clock.advance(2 * 60)
    assert await alerted() == ["0 at risk, 540 s left: truncated"]
    core.clock.advance(8 * 60)
    assert await alerted() == []
    core.clock.advance(60)
    assert await alerted() == ["0 lost: truncated"]
    core.clock.advance(60)
    assert await alerted() == []
    assert (OUTPUTS_AT_RISK._value.get(), OUTPUTS_LOST._value.get()) == (risk + 1, lost + 1)


async def test_what_is_fetched_once_more_is_warned_of_but_counted_by_the_downloader(
    core: CatalogCore,
) -> None:
    alerts = RecordedAlerts()
    expiry_alerts = ExpiryAlerts(core.database, alerts, core.clock)
    made = await core.made(lose=True)
    ends = made.lost[0].expires_at
    await core.do(made.id, requeue_download)
    core.clock.advance(51 * 60)
    await expiry_alerts.run_once()
    assert alerts.texts == ["0 at risk, 540 s left: download"]
    core.clock.advance(10 * 60)
    await expiry_alerts.run_once()
    given_up = lost(made.winner, retryable=False, round_=2, expires_at=ends, code=EXPIRED)
    after = await core.do(made.id, given_up)
    assert after.output(0).state is OutputState.LOST  # type: ignore[union-attr]
    await expiry_alerts.run_once()
    assert alerts.texts == ["0 at risk, 540 s left: download"], "the downloader has counted it"
    await core.do(made.id, requeue_download)
    await core.do(made.id, failed(made.winner, GONE, prediction_id=f"p-{made.id}"))
    await expiry_alerts.run_once()
    assert len(alerts.texts) == 1, "what was counted is not counted again"


async def test_what_the_provider_has_no_longer_is_counted_at_once(core: CatalogCore) -> None:
    alerts = RecordedAlerts()
    expiry_alerts = ExpiryAlerts(core.database, alerts, core.clock)
    made = await core.made(lose=True)
    core.clock.advance(60)
    await core.do(made.id, requeue_download)
    after = await core.do(made.id, failed(made.winner, GONE, prediction_id=f"p-{made.id}"))
    assert after.stage is Stage.FAILED
    await expiry_alerts.run_once()
    await expiry_alerts.run_once()
    assert alerts.texts == ["0 lost: gone"]


async def test_what_came_after_all_or_was_deleted_raises_no_alert(core: CatalogCore) -> None:
    alerts = RecordedAlerts()
    expiry_alerts = ExpiryAlerts(core.database, alerts, core.clock)
    came, deleted = await core.made(lose=True), await core.made(lose=True)
    key = f"media/{came.id}/0.mp4"
    await core.do(came.id, stored(came.winner, 0, "med_1", VIDEO, key))
    await core.do(deleted.id, delete_generation)
    for generation_id in (came.id, deleted.id):  # found as lost, and locked when it is so no longer
        async with core.database.read() as unit:
            state = await unit.generations.get(generation_id, deleted=True)
        for decision in (warn_of_expiry, count_loss):
            assert decision(state, core.clock.now(), index=0) == ()
    core.clock.advance(2 * 3600)
    await expiry_alerts.run_once()
    assert alerts.texts == []


async def test_what_had_expired_before_there_were_alarms_is_no_news(database_url: str) -> None:
    engine = open_engine(database_url)
    now = SystemClock().now()

    def before(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "0003")
        row = {"state": "lost", "at": 0, "media_id": "", "generation_id": "gen_1"}
        of_then = table(
            "outputs", *map(column, ("generation_id", "index", "state", "at", "media_id", "expires_at"))
        )
        ends = [micros(now - timedelta(days=1)), micros(now + timedelta(minutes=5))]
        connection.execute(
            insert(of_then), [{**row, "index": n, "expires_at": at} for n, at in enumerate(ends)]
        )
        command.upgrade(alembic_config(connection), "head")

    async with engine.begin() as connection:
        await connection.run_sync(before)
        counted = select(tables.outputs.c.counted_at.is_(None)).order_by(tables.outputs.c.index)
        assert (await connection.execute(counted)).scalars().all() == [False, True]
    await engine.dispose()


@pytest.mark.usefixtures("rows_by_hand")
async def test_what_was_to_be_requested_again_before_an_upgrade_is_so_after_it(database_url: str) -> None:
    engine = open_engine(database_url)
    due = EXPIRES - timedelta(minutes=5)

    def before(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), "0005")
        made = ended("lost").now
        row = generation_row(made, timedelta(seconds=60)) | {"requeue_at": due}
        del row["revision"]
        connection.execute(insert(tables.generations), row)
        output = output_row(made.id, made.outputs[0])
        del output["requeue_at"]
        connection.execute(insert(tables.outputs), output)
        command.upgrade(alembic_config(connection), "head")

    async with engine.begin() as connection:
        await connection.run_sync(before)
    database = SqlDatabase(engine, SystemClock(), stalled_after=timedelta(seconds=60))
    async with database.read() as unit:
        assert await unit.generations.to_requeue(due, 10) == ["gen_1"]
        generation = await unit.generations.get("gen_1")
    assert generation.requeue_at == due
    assert requeue_download(generation, due, automatic=True) != ()
    await engine.dispose()
