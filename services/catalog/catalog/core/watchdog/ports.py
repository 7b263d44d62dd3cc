"""What is needed to tell of lost outputs in time: which ones expire, and who tells operators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from catalog.core.generations.domain.media import LostOutput


class ExpiringOutputs(Protocol):
    """The outputs that are lost (or were, and are fetched once more), by when the provider deletes them."""

    async def at_risk(self, at: datetime, until: datetime, limit: int) -> Sequence[LostOutput]:
        """Those that expire by then, and were not warned of."""
        ...

    async def lost(self, at: datetime, limit: int) -> Sequence[LostOutput]:
        """Those that have expired, and were not counted."""
        ...

    async def warn(self, output: LostOutput, at: datetime) -> bool:
        """Mark that it was warned of; False: it was before, or came here meanwhile."""
        ...

    async def count(self, output: LostOutput, at: datetime) -> bool:
        """Mark that it was counted; False: it was before, or is asked for once more."""
        ...


class Alerts(Protocol):
    """Who tells operators."""

    def at_risk(self, output: LostOutput, seconds_left: float) -> None:
        """It expires soon and is not stored."""
        ...

    def lost(self, output: LostOutput) -> None:
        """It has expired and is not stored."""
        ...
