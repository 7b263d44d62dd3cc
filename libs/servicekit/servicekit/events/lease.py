"""Tells a handler how long its delivery cannot be anybody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Lease(Protocol):
    """Checked by a handler right before an effect that must not happen twice (a paid submission)."""

    def fresh(self) -> bool:
        """Whether the delivery is surely still ours, with as much time again to spare."""
        ...


class AlwaysFresh:
    """The lease of an event that no consumer delivered: one made by hand, or read by `tail`."""

    def fresh(self) -> bool:
        return True


class DeliveryLease:
    """The lease of one delivery: confirmed when it arrived and by each heartbeat that the server answered.

    Fresh while the last confirmation is younger than half of `ack_wait`. Once a confirmation came so
    late that the server may have delivered the event to another replica, it never gets fresh again: a
    later heartbeat would only prolong *their* delivery.
    """

    def __init__(self, ack_wait: float, monotonic: Callable[[], float]) -> None:
        self._ack_wait = ack_wait
        self._monotonic = monotonic
        self._confirmed = monotonic()
        self._lapsed = False

    def fresh(self) -> bool:
        return not self._lapsed and self._monotonic() - self._confirmed < self._ack_wait / 2

    def confirm(self, sent: float) -> None:
        """The server has answered a heartbeat that we sent at `sent` (monotonic seconds)."""
        if self._monotonic() - self._confirmed >= self._ack_wait:
            self._lapsed = True
        self._confirmed = max(self._confirmed, sent)
