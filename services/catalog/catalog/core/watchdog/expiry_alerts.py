"""Lost outputs and their expiry: an alarm while a fresh try may still help, and a count of what none did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from catalog.core.generations.domain.media import LostOutput
from catalog.core.shared.domain import EXPIRED
from catalog.core.shared.ports import Database
from catalog.core.watchdog.ports import Alerts
from servicekit.clock import Clock

AT_RISK = timedelta(minutes=10)
"""Time before its expiry at which an output that is not stored raises the alarm: the downloader's own."""

AT_ONCE = 200
"""Outputs told in one round: the rest comes with the next, a few seconds later."""


class ExpiryAlerts:
    """The use case: each output once, whichever replica sees it first, and however often it was fetched.

    What expires in the downloader's hands the downloader tells and counts, and gives up as `expired`.
    """

    def __init__(self, database: Database, alerts: Alerts, clock: Clock) -> None:
        self._database = database
        self._alarms = alerts
        self._clock = clock

    async def run_once(self) -> None:
        """One round."""
        now = self._clock.now()
        async with self._database.read() as unit:
            risky = await unit.expiring_outputs.at_risk(now, now + AT_RISK, AT_ONCE)
            gone = await unit.expiring_outputs.lost(now, AT_ONCE)
        if not risky and not gone:
            return
        async with self._database.write() as unit:
            warned = [each for each in risky if await unit.expiring_outputs.warn(each, now)]
            counted = [each for each in gone if await unit.expiring_outputs.count(each, now)]
        self._tell(now, warned, counted)

    def _tell(self, now: datetime, warned: Sequence[LostOutput], counted: Sequence[LostOutput]) -> None:
        for output in warned:
            if output.expires_at is not None:
                self._alarms.at_risk(output, (output.expires_at - now).total_seconds())
        for output in counted:
            if output.error.code != EXPIRED:
                self._alarms.lost(output)
