"""Holds the rate limit state in a key-value bucket of the event log."""

from __future__ import annotations

from typing import Any

from servicekit.errors import Conflict
from servicekit.events import EventLog

_BUCKET = "rate_limits"
"""Its name at the server: a new one would begin with an empty state."""


class KeyValueCell:
    """A `SharedCell`: the key `provider` of the bucket."""

    def __init__(self, log: EventLog, *, provider: str) -> None:
        self._log = log
        self._key = provider

    async def read(self) -> tuple[Any, int]:
        found = await (await self._log.bucket(_BUCKET)).get(self._key)
        return found if found is not None else (None, 0)

    async def write(self, value: Any, revision: int) -> bool:
        bucket = await self._log.bucket(_BUCKET)
        try:
            if revision:
                await bucket.update(self._key, value, revision=revision)
            else:
                await bucket.create(self._key, value)
        except Conflict:
            return False
        return True
