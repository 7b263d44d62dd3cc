"""What the watchdog needs: the outputs that expire, and a way to alert operators."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from catalog.core.generations.domain.model import LostOutput


class ExpiringOutputs(Protocol):
    """The outputs that are lost (or were, and are fetched once more), the first to expire first."""

    async def at_risk(
        self, at: datetime, until: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[LostOutput]:
        """Those that expire by `until` and were not warned of; not of the generations in `without`."""
        ...

    async def expired(
        self, at: datetime, limit: int, *, without: Collection[str] = ()
    ) -> Sequence[LostOutput]:
        """Those that are lost, have expired and were not counted; not of the generations in `without`."""
        ...


class Alerts(Protocol):
    def at_risk(self, output: LostOutput, seconds_left: float) -> None:
        """It expires soon and is not stored."""
        ...

    def lost(self, output: LostOutput) -> None:
        """It has expired and is not stored."""
        ...
