"""Claims over the real event log: one replica at a time, and none of their faults fails what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from downloader.adapters.scheduling.kv_claims import BUCKET, KvClaims
from events.topology import streams
from servicekit.clock import SystemClock
from servicekit.errors import Unavailable
from servicekit.events import EventLog
from servicekit.events.bucket import Bucket
from servicekit.testing import eventually

STEM = "media/gen_1/0"
TTL_S = 3.0


@pytest_asyncio.fixture
async def log(nats) -> AsyncIterator[EventLog]:
    log = EventLog(nats, service="downloader", clock=SystemClock(), streams=streams())
    await log.start()
    yield log
    await log.stop()


@pytest_asyncio.fixture
async def bucket(log) -> Bucket:
    return await log.bucket(BUCKET, ttl=TTL_S)


@pytest.fixture
def claims(log, bucket) -> KvClaims:
    return KvClaims(log, ttl_s=TTL_S)


async def renewed_with_its_answer_lost(bucket: Bucket) -> int:
    """As when the server is killed after it has stored a renewal: we know of an older revision only."""
    value, revision = await bucket.get(STEM)
    return await bucket.update(STEM, value, revision=revision)


async def test_one_at_a_time(log, claims) -> None:
    async with claims.claim(STEM) as first, KvClaims(log, ttl_s=TTL_S).claim(STEM) as second:
        assert (first, second) == (True, False)
        async with claims.claim("media/gen_1/1") as other:
            assert other
    async with claims.claim(STEM) as again:
        assert again


async def test_a_lost_answer_to_a_renewal_fails_nothing(claims, bucket) -> None:
    async with claims.claim(STEM) as is_ours:
        assert is_ours
        await renewed_with_its_answer_lost(bucket)

    async def is_gone() -> bool:
        return await bucket.get(STEM) is None

    await eventually(is_gone, within=TTL_S + 2)


async def test_a_claim_goes_on_after_the_answer_of_a_renewal_was_lost(claims, bucket) -> None:
    with capture_logs() as logs:
        async with claims.claim(STEM):
            unknown = await renewed_with_its_answer_lost(bucket)

            async def is_renewed() -> bool:
                found = await bucket.get(STEM)
                return found is not None and found[1] > unknown

            await eventually(is_renewed, within=TTL_S)
    assert not [line for line in logs if line["event"] == "claim not renewed"]


async def test_a_claim_that_is_anothers_by_now_is_left_alone(claims, bucket) -> None:
    async with claims.claim(STEM):
        await bucket.delete(STEM)
        await bucket.create(STEM, "another")
    assert (await bucket.get(STEM))[0] == "another"


async def test_a_log_that_is_away_fails_nothing_that_is_done(claims, bucket, monkeypatch) -> None:
    async def away(*_args, **_fields) -> None:
        raise Unavailable("the event log is away")

    async with claims.claim(STEM):
        monkeypatch.setattr(bucket, "delete", away)
