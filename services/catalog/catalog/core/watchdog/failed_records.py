"""Leaves records alone for a while that could not be handled, so that no other has to wait for them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from servicekit.clock import Clock
from servicekit.errors import Unavailable


@dataclass(frozen=True)
class FailedRecord:
    """A record that could not be handled, and why."""

    id: str
    error: Exception


class FailedRecords:
    """Remembers in this process alone: for a record that cannot even be read, no event can be saved.

    Left in the queries, failed records would come first in each round, and enough of them would fill it.
    """

    def __init__(self, clock: Clock, *, put_off: timedelta) -> None:
        self._clock = clock
        self._put_off = put_off
        self._until: dict[str, datetime] = {}
        self._failed: list[FailedRecord] = []

    @property
    def ids(self) -> Collection[str]:
        """Those that are left alone now."""
        now = self._clock.now()
        self._until = {record_id: until for record_id, until in self._until.items() if until > now}
        return list(self._until)

    @contextlib.contextmanager
    def guard(self, record_id: str) -> Iterator[None]:
        """What is raised within ends nothing but the work on this record.

        Raises:
            Unavailable: that is no record's fault, and the next round comes soon.
        """
        try:
            yield
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the records behind it are not to wait
            self._failed.append(FailedRecord(record_id, error))
            self._until[record_id] = self._clock.now() + self._put_off

    def take(self) -> Sequence[FailedRecord]:
        """Those that have failed since they were taken last."""
        taken, self._failed = self._failed, []
        return taken
