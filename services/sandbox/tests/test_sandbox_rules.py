"""Request headers, signatures, states of predictions, the rate limit, the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.core.clock import SandboxClock
from sandbox.core.predictions.domain.prediction import (
    Prediction,
    Status,
    api_object,
    canceled,
    ended,
    from_record,
    started,
    to_record,
)
from sandbox.core.predictions.domain.rate_limit import TokenBucket
from sandbox.core.predictions.webhooks import new_secret, sign
from sandbox.edges.http.prediction_routes import cancel_after_seconds, wait_seconds
from servicekit.testing.clock import SimulatedClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TTL = timedelta(hours=1)


def prediction(**more: object) -> Prediction:
    return Prediction(
        id="p" * 26, model="rushes/still", version="0" * 64, input={}, created_at=NOW, base="http://h", **more
    )  # type: ignore[arg-type]


def test_signature_of_the_published_vector() -> None:
    key, message, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    assert (
        sign(key, message, at, b'{"test": 2432232314}') == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_secrets_split_in_two_at_the_underscore() -> None:
    assert all(len(new_secret().split("_")) == 2 for _ in range(200))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("wait", 60), ("wait=1", 1), ("wait=60", 60), ("wait=61", None), ("wait=0", None), ("x", None)],
)
def test_prefer(text: str, seconds: float | None) -> None:
    assert wait_seconds(text) == seconds


@given(st.integers(5, 24 * 3600))
def test_cancel_after_in_every_form(total: int) -> None:
    h, m, s = total // 3600, total % 3600 // 60, total % 60
    assert cancel_after_seconds(f"{h}h{m}m{s}s") == cancel_after_seconds(str(total)) == total


@given(st.lists(st.sampled_from(["start", "fail", "cancel", "deadline", "succeed"]), max_size=8))
def test_a_final_state_is_final_and_survives_the_store(steps: list[str]) -> None:
    p, final = prediction(), None
    for step in steps:
        if step == "start" and not p.is_final:
            p = started(p, NOW)
        elif step == "fail":
            p = ended(p, Status.FAILED, NOW, error="x", ttl=TTL)
        elif step == "succeed":
            p = ended(p, Status.SUCCEEDED, NOW, output="files/t/a.mp4", ttl=TTL)
        elif step != "start":
            p = canceled(p, NOW, ttl=TTL, by_deadline=step == "deadline")
        assert from_record(to_record(p)) == p
        if final is not None:
            assert p == final
        final = p if p.is_final else None
    if p.status is Status.ABORTED:
        assert p.started_at is None


def test_outputs_have_the_address_of_the_request() -> None:
    p = ended(prediction(), Status.SUCCEEDED, NOW, output=["files/t/a.mp4"], ttl=TTL)
    assert api_object(p, NOW, base="https://x", official=True)["output"] == ["https://x/files/t/a.mp4"]
    assert api_object(p, NOW + TTL, base="https://x", official=True)["output"] is None


@given(st.integers(1, 50), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_the_bucket_admits_no_more_than_its_rate(per_minute: int, gaps: list[float]) -> None:
    bucket, now, taken = TokenBucket(per_minute), 0.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now).wait_s == 0
    assert taken <= per_minute + now * per_minute / 60 + 1e-6


async def test_virtual_time_stands_still_and_wakes_sleepers() -> None:
    base = SimulatedClock()
    clock = SandboxClock(base)
    slept = asyncio.ensure_future(clock.sleep(10))
    await base.wait_for_sleepers()
    clock.stop_time()
    base.advance(100)
    await asyncio.sleep(0)
    assert not slept.done()
    before = clock.now()
    clock.advance(10)
    await asyncio.wait_for(slept, 1)
    assert clock.now() - before == timedelta(seconds=10)
    clock.run_time()
    assert clock.now() - before == timedelta(seconds=10)
    base.advance(5)
    assert clock.now() - before == timedelta(seconds=15)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)
