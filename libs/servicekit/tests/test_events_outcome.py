"""The table from failure to acknowledgement is total, and says what the documents say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import ERRORS, AppError, Conflict, ErrorKind, Internal, Limited, NotFound, Unavailable
from servicekit.events.lease import DeliveryLease
from servicekit.events.outcome import LONGEST, RULES, Action, Later, backoff, decide


def test_every_kind_has_a_rule() -> None:
    assert set(RULES) == set(ErrorKind)


@pytest.mark.parametrize(
    ("kind", "first", "late"),
    [
        (ErrorKind.INVALID, Action.DEAD_LETTER, Action.DEAD_LETTER),
        (ErrorKind.UNAUTHENTICATED, Action.DEAD_LETTER, Action.DEAD_LETTER),
        (ErrorKind.FORBIDDEN, Action.DEAD_LETTER, Action.DEAD_LETTER),
        (ErrorKind.NOT_FOUND, Action.LATER, Action.DEAD_LETTER),
        (ErrorKind.CONFLICT, Action.ACK, Action.ACK),
        (ErrorKind.PRECONDITION, Action.LATER, Action.LATER),
        (ErrorKind.LIMITED, Action.LATER, Action.LATER),
        (ErrorKind.UNAVAILABLE, Action.LATER, Action.LATER),
        (ErrorKind.TIMEOUT, Action.LATER, Action.LATER),
        (ErrorKind.INTERNAL, Action.LATER, Action.DEAD_LETTER),
    ],
)
def test_the_table(kind: ErrorKind, first: Action, late: Action) -> None:
    error = ERRORS[kind]("x")
    assert decide(error, deliveries=1, patience=10).action is first
    assert decide(error, deliveries=50, patience=10).action is late


def test_only_a_fault_of_ours_alarms() -> None:
    assert decide(Internal("x"), deliveries=10, patience=10).alarm
    assert decide(ZeroDivisionError(), deliveries=10, patience=10).alarm
    assert not decide(NotFound("x"), deliveries=5, patience=10).alarm
    assert decide(ZeroDivisionError(), deliveries=9, patience=10).action is Action.LATER


def test_the_error_says_how_long() -> None:
    assert decide(Limited("x", retry_after=42.0), deliveries=3, patience=10).delay == 42.0
    assert decide(Later(0.5), deliveries=99, patience=10).delay == 0.5
    assert decide(Conflict("x", code="already_done"), deliveries=1, patience=10).action is Action.ACK


@given(st.integers(min_value=1, max_value=10**9))
def test_an_outage_never_loses_a_fact_and_never_waits_long(deliveries: int) -> None:
    error: AppError = Unavailable("down")
    decision = decide(error, deliveries=deliveries, patience=1)
    assert decision.action is Action.LATER
    assert 1.0 <= decision.delay <= LONGEST
    assert backoff(deliveries + 1) >= backoff(deliveries)


def test_a_lease_is_fresh_for_half_of_ack_wait_and_lost_for_ever_after_a_gap() -> None:
    now = 0.0
    lease = DeliveryLease(20.0, lambda: now)
    assert lease.fresh()
    now = 9.9
    assert lease.fresh()
    now = 10.0
    assert not lease.fresh()
    lease.confirm(sent=9.9)
    assert lease.fresh()
    now = 40.0
    lease.confirm(sent=39.9)
    assert not lease.fresh(), "somebody else may have had it in between"
