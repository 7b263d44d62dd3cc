"""An upgrade under load: every replica, the log and the store are restarted, and clients notice nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.rolling.clients import Pace
from bench.rolling.replicas import REPLICAS, ROLLED
from bench.rolling.trial import trial, upgrade

pytestmark = pytest.mark.e2e

PACE = Pace(job_every_s=3.0, generation_every_s=0.5, scenes=1)


@pytest.mark.timeout(400)  # a busy machine starts these thirty processes slowly
async def test_an_upgrade_fails_no_request_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = await trial(tmp_path, PACE, upgrade)

    assert len(outcome.restarts) == REPLICAS * len(ROLLED) + 2
    assert [each for each in outcome.restarts if not each.in_order] == []
    load, found = outcome.load, outcome.found
    assert load.client.tally.failed == []
    assert load.wrong == []
    assert outcome.unfinished == []
    assert len(load.jobs) >= 2
    assert len(load.generations) >= 5
    assert all(gap.reads > 20 for gap in load.gaps.values())
    assert (found.lost, found.doubled, found.unplayable) == ([], [], [])
    assert found.cuts == len(load.jobs)
    assert load.subscriber.ended, "no stream has ended: the gateways were not restarted under it"
