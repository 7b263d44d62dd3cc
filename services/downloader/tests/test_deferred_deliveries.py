"""When deferred outputs are delivered again: in the order, and at the pace, in which they are needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from downloader.core.scheduling.domain.deferred_deliveries import (
    FORGET_AFTER,
    MAX_DEFERRAL_S,
    MAX_RETURNS_PER_S,
    MIN_DEFERRAL_HOST_DOWN_S,
    RATE_SAMPLES,
    RETURNS_PER_FETCH,
    DeferredByHost,
    DeferredDeliveries,
)
from downloader.core.scheduling.domain.retry_policy import MAX_SHARE_OF_TIME_LEFT

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG = NOW + timedelta(days=1)


def output(number: int) -> tuple[str, str, int, int]:
    return (f"gen_{number:05d}", "att", 0, 1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def defer(
    deferred: DeferredDeliveries, number: int, expires_at: datetime = LONG, *, at: float = 0, down=False
) -> float:
    return deferred.defer(output(number), now=after(at), expires_at=expires_at, host_is_down=down)


def fast(count: int = RATE_SAMPLES, per_second: float = 4.0) -> DeferredDeliveries:
    """One whose host has given so many, so fast, up to now."""
    deferred = DeferredDeliveries()
    for number in range(count):
        deferred.note_fetched(after((number - count) / per_second))
    return deferred


def test_what_expires_later_returns_later() -> None:
    """At so many times the rate at which they are fetched that there is always one, and a choice."""
    deferred = fast()
    waits = [defer(deferred, number, LONG + timedelta(seconds=number)) for number in range(200)]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[120] == 120 / (4.0 * RETURNS_PER_FETCH)
    assert defer(deferred, 999, LONG - timedelta(seconds=1)) == 1.0


def test_nobody_is_deferred_longer_than_bearable() -> None:
    deferred = fast()
    for number in range(3000):
        defer(deferred, number)
    assert defer(deferred, 5000) == MAX_DEFERRAL_S
    assert defer(deferred, 5001, after(100)) <= 100 * MAX_SHARE_OF_TIME_LEFT


def test_what_has_returned_is_not_counted() -> None:
    deferred = fast()
    for number in range(240):
        defer(deferred, number)
    before = defer(deferred, 900, LONG + timedelta(seconds=1))
    for number in range(120):
        deferred.returned(output(number))
    deferred.returned(output(4711))  # was never deferred
    assert defer(deferred, 901, LONG + timedelta(seconds=1)) < before


def test_deferred_twice_counts_once() -> None:
    deferred = fast()
    for _ in range(500):
        defer(deferred, 1)
    assert defer(deferred, 2, LONG + timedelta(seconds=1)) == 1.0


def test_what_is_deferred_too_long_belongs_to_another_replica() -> None:
    deferred = fast()
    for number in range(240):
        defer(deferred, number)
    long_after = FORGET_AFTER.total_seconds() + 1
    assert defer(deferred, 900, LONG + timedelta(seconds=1), at=long_after) == 1.0


def test_without_a_rate_they_return_as_fast_as_they_can_be_taken_up() -> None:
    deferred = DeferredDeliveries()
    waits = [defer(deferred, number, LONG + timedelta(seconds=number)) for number in range(1000)]
    assert waits[-1] == 999 / MAX_RETURNS_PER_S


def test_the_rate_falls_while_nothing_is_fetched() -> None:
    deferred, idle = fast(), fast()
    for number in range(100):
        defer(deferred, number)
        defer(idle, number)
    assert defer(idle, 900, LONG + timedelta(seconds=1), at=30) > defer(
        deferred, 900, LONG + timedelta(seconds=1)
    )


def test_the_longer_a_host_is_down_the_less_often_they_return() -> None:
    deferred = fast()
    assert defer(deferred, 1, down=True) == MIN_DEFERRAL_HOST_DOWN_S
    assert defer(deferred, 1, at=100, down=True) == 100 * MAX_SHARE_OF_TIME_LEFT
    assert defer(deferred, 1, after(140), at=100, down=True) == 40 * MAX_SHARE_OF_TIME_LEFT
    assert defer(deferred, 1, at=3000, down=True) == MAX_DEFERRAL_S


def test_the_rate_before_an_outage_does_not_count_after_it() -> None:
    """First they return as fast as they can be taken up, and the rate is measured anew."""
    deferred = fast()
    for number in range(600):
        defer(deferred, number)
    defer(deferred, 700, down=True)
    late = LONG + timedelta(seconds=1)
    assert defer(deferred, 900, late, at=100) == 601 / MAX_RETURNS_PER_S
    assert defer(deferred, 900, late, at=101) == 601 / MAX_RETURNS_PER_S
    assert defer(deferred, 900, late, at=110) == MAX_DEFERRAL_S  # nothing was fetched in ten seconds


def test_after_a_fetch_an_outage_begins_anew() -> None:
    deferred = DeferredDeliveries()
    defer(deferred, 1, down=True)
    assert defer(deferred, 1, at=60, down=True) == 60 * MAX_SHARE_OF_TIME_LEFT
    deferred.note_fetched(after(61))
    assert defer(deferred, 1, at=70, down=True) == MIN_DEFERRAL_HOST_DOWN_S


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900), st.integers(0, 600), st.booleans())))
def test_no_output_sleeps_through_its_chance(steps) -> None:
    """Never more than a share of the time left (or a second), and never more than `MAX_DEFERRAL_S`."""
    deferred = DeferredDeliveries()
    for number, at, left, down in sorted(steps, key=lambda step: step[1]):
        wait = defer(deferred, number, after(at + left), at=at, down=down)
        assert 1.0 <= wait <= max(1.0, min(left * MAX_SHARE_OF_TIME_LEFT, MAX_DEFERRAL_S))


def test_hosts_are_forgotten_when_nobody_needs_them_any_more() -> None:
    """An address with a name of its own for every output does not fill the memory."""
    by_host, step = DeferredByHost(), FORGET_AFTER.total_seconds() / 10
    steady = by_host.of("steady", NOW)
    for number in range(1000):
        by_host.of(f"{number}.example", after(number * step))
        assert by_host.of("steady", after(number * step)) is steady
    assert len(by_host) == 12
    assert by_host.of("999.example", after(999 * step)) is by_host.of("999.example", after(1000 * step))
