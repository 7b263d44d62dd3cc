"""When those who were sent away come back: in the order, and at the pace, in which they are needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from downloader.core.scheduling.domain.deferred_deliveries import FORGOTTEN, RECENT, Absent, Absents
from downloader.core.scheduling.domain.retry_policy import AWAY, PLENTY, RETURNS, SHARE, SOON

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG = NOW + timedelta(days=1)


def output(number: int) -> tuple[str, str, int, int]:
    return (f"gen_{number:05d}", "att", 0, 1)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def leaves(absent: Absent, number: int, expires_at: datetime = LONG, *, at: float = 0, away=False) -> float:
    return absent.leaves(output(number), now=after(at), expires_at=expires_at, host_is_away=away)


def fast(count: int = RECENT, per_second: float = 4.0) -> Absent:
    """One whose host has given so many, so fast, up to now."""
    absent = Absent()
    for number in range(count):
        absent.fetched(after((number - count) / per_second))
    return absent


def test_who_expires_later_comes_later() -> None:
    """At so many times the pace at which they are fetched, that there is always one, and a choice."""
    absent = fast()
    waits = [leaves(absent, number, LONG + timedelta(seconds=number)) for number in range(200)]
    assert waits == sorted(waits)
    assert waits[0] == 1.0
    assert waits[120] == 120 / (4.0 * PLENTY)
    assert leaves(absent, 999, LONG - timedelta(seconds=1)) == 1.0


def test_nobody_stays_away_longer_than_bearable() -> None:
    absent = fast()
    for number in range(3000):
        leaves(absent, number)
    assert leaves(absent, 5000) == AWAY
    assert leaves(absent, 5001, after(100)) <= 100 * SHARE


def test_who_is_back_is_not_counted() -> None:
    absent = fast()
    for number in range(240):
        leaves(absent, number)
    before = leaves(absent, 900, LONG + timedelta(seconds=1))
    for number in range(120):
        absent.is_back(output(number))
    absent.is_back(output(4711))  # was never away
    assert leaves(absent, 901, LONG + timedelta(seconds=1)) < before


def test_leaving_twice_counts_once() -> None:
    absent = fast()
    for _ in range(500):
        leaves(absent, 1)
    assert leaves(absent, 2, LONG + timedelta(seconds=1)) == 1.0


def test_who_is_away_too_long_is_anothers() -> None:
    absent = fast()
    for number in range(240):
        leaves(absent, number)
    long_after = FORGOTTEN.total_seconds() + 1
    assert leaves(absent, 900, LONG + timedelta(seconds=1), at=long_after) == 1.0


def test_without_a_pace_they_come_as_fast_as_they_can_be_looked_at() -> None:
    absent = Absent()
    waits = [leaves(absent, number, LONG + timedelta(seconds=number)) for number in range(1000)]
    assert waits[-1] == 999 / RETURNS


def test_the_pace_falls_while_nothing_is_fetched() -> None:
    absent, idle = fast(), fast()
    for number in range(100):
        leaves(absent, number)
        leaves(idle, number)
    assert leaves(idle, 900, LONG + timedelta(seconds=1), at=30) > leaves(
        absent, 900, LONG + timedelta(seconds=1)
    )


def test_at_a_host_that_is_away_they_come_the_less_often_the_longer_it_is() -> None:
    absent = fast()
    assert leaves(absent, 1, away=True) == SOON
    assert leaves(absent, 1, at=100, away=True) == 100 * SHARE
    assert leaves(absent, 1, after(140), at=100, away=True) == 40 * SHARE
    assert leaves(absent, 1, at=3000, away=True) == AWAY


def test_how_fast_it_was_says_nothing_about_the_time_after() -> None:
    """A host that is back: first they come as fast as they can be looked at, and its pace is told anew."""
    absent = fast()
    for number in range(600):
        leaves(absent, number)
    leaves(absent, 700, away=True)
    late = LONG + timedelta(seconds=1)
    assert leaves(absent, 900, late, at=100) == 601 / RETURNS
    assert leaves(absent, 900, late, at=101) == 601 / RETURNS
    assert leaves(absent, 900, late, at=110) == AWAY  # nothing was fetched in ten seconds


def test_a_host_that_is_back_is_away_anew() -> None:
    absent = Absent()
    leaves(absent, 1, away=True)
    assert leaves(absent, 1, at=60, away=True) == 60 * SHARE
    absent.fetched(after(61))
    assert leaves(absent, 1, at=70, away=True) == SOON


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900), st.integers(0, 600), st.booleans())))
def test_nobody_sleeps_through_his_chance(steps) -> None:
    """Never more than a share of the time left (or a second), and never more than `AWAY`."""
    absent = Absent()
    for number, at, left, away in sorted(steps, key=lambda step: step[1]):
        wait = leaves(absent, number, after(at + left), at=at, away=away)
        assert 1.0 <= wait <= max(1.0, min(left * SHARE, AWAY))


def test_hosts_are_forgotten_when_nobody_asks_about_them_any_more() -> None:
    """An address with a name of its own for every output does not fill the memory."""
    absents, step = Absents(), FORGOTTEN.total_seconds() / 10
    steady = absents.of("steady", NOW)
    for number in range(1000):
        absents.of(f"{number}.example", after(number * step))
        assert absents.of("steady", after(number * step)) is steady
    assert len(absents) == 12
    assert absents.of("999.example", after(999 * step)) is absents.of("999.example", after(1000 * step))
