"""Measures how much of the day's budget is left."""

from __future__ import annotations

from prometheus_client import Gauge

from catalog.core.budget.domain import day_account
from catalog.core.shared.domain import MICROS_PER_CENT
from catalog.core.unit_of_work import Database
from servicekit.clock import Clock

MEASURE_EVERY = 10.0
"""Seconds between two measurements."""

DAY_BUDGET = Gauge(
    "rushes_day_budget_dollars",
    "Of this day (UTC): spent, reserved for attempts in hand, and the cap, where DAILY_BUDGET_CENTS sets one",
    ["part"],
)


class DayBudget:
    """The account of the day as metrics.

    Args:
        cap_cents: 0: there is no cap.
    """

    def __init__(self, database: Database, clock: Clock, *, cap_cents: int) -> None:
        self._database = database
        self._clock = clock
        if cap_cents:
            DAY_BUDGET.labels("cap").set(cap_cents / 100)

    async def measure(self) -> None:
        """Read the account, and set the gauge."""
        async with self._database.read() as unit:
            account = await unit.accounts.get(day_account(self._clock.now()))
        DAY_BUDGET.labels("spent").set(account.spent / MICROS_PER_CENT / 100)
        DAY_BUDGET.labels("reserved").set(account.reserved / MICROS_PER_CENT / 100)
