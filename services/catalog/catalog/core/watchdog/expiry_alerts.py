"""Warns of lost outputs while a requeue may still help, and counts those that none has helped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from catalog.core.generations.domain.recovery import PUT_OFF, at_risk_until, count_loss, warn_of_expiry
from catalog.core.generations.domain.requesting import Decision
from catalog.core.shared.domain import EXPIRED
from catalog.core.unit_of_work import Database
from catalog.core.watchdog.failed_records import FailedRecord, FailedRecords
from catalog.core.watchdog.ports import Alerts
from servicekit.clock import Clock

BATCH_SIZE = 200
"""Outputs of one round: the rest comes with the next, a few seconds later."""


class ExpiryAlerts:
    """Alerts once for each output, whichever replica finds it first, and however often it was fetched.

    Outputs that expire while the downloader has them are reported and counted by the downloader, which gives
    them up as `expired`.
    """

    def __init__(self, database: Database, alerts: Alerts, clock: Clock) -> None:
        self._database = database
        self._alerts = alerts
        self._clock = clock
        self._failed = FailedRecords(clock, put_off=PUT_OFF)

    async def run_once(self) -> Sequence[FailedRecord]:
        """One round; answers the generations with outputs that could not be marked."""
        now, without = self._clock.now(), self._failed.ids
        async with self._database.read() as unit:
            at_risk = await unit.expiring_outputs.at_risk(
                now, at_risk_until(now), BATCH_SIZE, without=without
            )
            expired = await unit.expiring_outputs.expired(now, BATCH_SIZE, without=without)
        for output in at_risk:
            with self._failed.guard(output.generation_id):
                warned = await self._marked(output.generation_id, partial(warn_of_expiry, index=output.index))
                if warned and output.expires_at is not None:
                    self._alerts.at_risk(output, (output.expires_at - now).total_seconds())
        for output in expired:
            with self._failed.guard(output.generation_id):
                counted = await self._marked(output.generation_id, partial(count_loss, index=output.index))
                if counted and output.error.code != EXPIRED:
                    self._alerts.lost(output)
        return self._failed.take()

    async def _marked(self, generation_id: str, decision: Decision) -> bool:
        """Whether it was marked now: not if another replica did it, or the output has come meanwhile."""
        async with self._database.write() as unit:
            generation = await unit.generations.get(generation_id, lock=True, deleted=True)
            events = decision(generation, self._clock.now())
            await unit.generations.save(generation, events)
        return bool(events)
