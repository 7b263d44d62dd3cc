"""The table from failure to acknowledgement is total, and says what the documents say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.errors import ERRORS, AppError, Conflict, ErrorKind, Internal, Limited, NotFound, Unavailable
from servicekit.events.ack_policy import (
    LONGEST_DELAY,
    POLICIES,
    AckAction,
    ErrorCounts,
    RetryLater,
    RetryPolicy,
    backoff,
    decide,
)
from servicekit.events.lease import DeliveryLease


def test_every_kind_has_a_policy() -> None:
    assert set(POLICIES) == set(ErrorKind)


@pytest.mark.parametrize(
    ("kind", "first", "late"),
    [
        (ErrorKind.INVALID, AckAction.DEAD_LETTER, AckAction.DEAD_LETTER),
        (ErrorKind.UNAUTHENTICATED, AckAction.DEAD_LETTER, AckAction.DEAD_LETTER),
        (ErrorKind.FORBIDDEN, AckAction.DEAD_LETTER, AckAction.DEAD_LETTER),
        (ErrorKind.NOT_FOUND, AckAction.RETRY_LATER, AckAction.DEAD_LETTER),
        (ErrorKind.CONFLICT, AckAction.ACK, AckAction.ACK),
        (ErrorKind.PRECONDITION, AckAction.RETRY_LATER, AckAction.RETRY_LATER),
        (ErrorKind.LIMITED, AckAction.RETRY_LATER, AckAction.RETRY_LATER),
        (ErrorKind.UNAVAILABLE, AckAction.RETRY_LATER, AckAction.RETRY_LATER),
        (ErrorKind.TIMEOUT, AckAction.RETRY_LATER, AckAction.RETRY_LATER),
        (ErrorKind.INTERNAL, AckAction.RETRY_LATER, AckAction.DEAD_LETTER),
    ],
)
def test_the_table(kind: ErrorKind, first: AckAction, late: AckAction) -> None:
    error = ERRORS[kind]("x")
    assert decide(error, errors=1, max_internal_errors=10).action is first
    assert decide(error, errors=50, max_internal_errors=10).action is late


def test_only_an_internal_error_alarms() -> None:
    assert decide(Internal("x"), errors=10, max_internal_errors=10).alarm
    assert decide(ZeroDivisionError(), errors=10, max_internal_errors=10).alarm
    assert not decide(NotFound("x"), errors=5, max_internal_errors=10).alarm
    assert decide(ZeroDivisionError(), errors=9, max_internal_errors=10).action is AckAction.RETRY_LATER


def test_retry_after_of_the_error_is_the_delay() -> None:
    assert decide(Limited("x", retry_after=42.0), errors=3, max_internal_errors=10).delay == 42.0
    assert decide(RetryLater(0.5), errors=99, max_internal_errors=10).delay == 0.5
    assert (
        decide(Conflict("x", code="already_done"), errors=1, max_internal_errors=10).action is AckAction.ACK
    )


@given(st.integers(min_value=1, max_value=10**9))
def test_an_outage_never_loses_an_event_and_never_waits_long(deliveries: int) -> None:
    error: AppError = Unavailable("down")
    decision = decide(error, errors=deliveries, max_internal_errors=1)
    assert decision.action is AckAction.RETRY_LATER
    assert 1.0 <= decision.delay <= LONGEST_DELAY
    assert backoff(deliveries + 1) >= backoff(deliveries)


def test_errors_are_counted_by_event_and_policy_and_forgotten() -> None:
    counts = ErrorCounts(limit=2)
    assert [counts.add("a", RetryPolicy.LIMITED) for _ in range(3)] == [1, 2, 3]
    assert counts.add("a", RetryPolicy.FEW_TIMES) == 1
    assert counts.add("b", RetryPolicy.LIMITED) == 1
    counts.forget("b")
    counts.forget("b")
    assert counts.add("b", RetryPolicy.LIMITED) == 1
    assert counts.add("a", RetryPolicy.LIMITED) == 4
    assert counts.add("c", RetryPolicy.LIMITED) == 1
    assert counts.add("b", RetryPolicy.LIMITED) == 1, "of three events it had failed longest ago"


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
