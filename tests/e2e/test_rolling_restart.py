"""An upgrade under load: every service, the log and the store are restarted, and clients notice nothing.

`make bench` does the same with two replicas of each service, and shows figures (row R8).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.rolling.clients import Pace
from bench.rolling.replicas import ROLLED
from bench.rolling.trial import trial, upgrade

pytestmark = pytest.mark.e2e

PACE = Pace(jobs=1, generations=1, scenes=1)


@pytest.mark.timeout(400)  # a busy machine starts these processes slowly
async def test_an_upgrade_fails_no_request_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = await trial(tmp_path, PACE, upgrade, replicas=1)

    assert [each.what for each in outcome.restarts] == [*ROLLED, "nats", "s3"]
    assert outcome.killed == []
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
