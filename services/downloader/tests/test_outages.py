"""10,000 outputs that expire in an hour, outages of 5 to 50 minutes: none is lost while a schedule exists.

The use case, its queues, retries, claims, events and redelivery decisions are the real ones, on a virtual
clock (`simulated_downloader`). Whether a schedule exists is computed by an exact oracle that knows every
outage beforehand (`schedule_oracle`). It is better off than the downloader in two things that nobody can
have, and the cases leave no room for them: knowing that an outage comes (`CALM_S`; the last test shows that
no rule replaces it), and knowing that one is over before a try has shown it (`SEEN_S`).
"""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outage_cases import (
    HOSTS,
    LONGEST,
    SHORTEST,
    calm,
    outage,
    outages,
    possible,
    random_outputs,
    with_schedule,
)
from outages import Outage, OutageCase, SimOutput
from simulated_downloader import FETCH_S, HOUR, run

MINUTE = 60.0


def test_of_ten_thousand_none_is_lost_while_a_schedule_exists() -> None:
    """Three of four hosts are down at times, and come back to what has waited for them, and for 16 slots."""
    chance = random.Random(1)
    lengths = [(45 * MINUTE, LONGEST), (SHORTEST, 10 * MINUTE), (SHORTEST, LONGEST)]
    down = calm(lambda: [outage(chance, host, *span) for host, span in zip(HOSTS, lengths, strict=False)])
    case = with_schedule(OutageCase([], down), random_outputs(chance), 10_000)

    table = possible(case)
    table.check()
    assert len(table.placed) == len(case.outputs) == 10_000
    assert max(output.expiry for output in case.outputs) <= HOUR
    assert len({output.host for output in case.outputs}) == 4
    lasted = sorted(one.end - one.start for one in down)
    assert SHORTEST <= lasted[0] <= 10 * MINUTE
    assert 45 * MINUTE <= lasted[-1] <= LONGEST

    result = run(case)
    assert result.lost() == set()
    assert set(result.origin.served.values()) == {1}


@pytest.mark.parametrize(("seed", "replicas"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 2)])
def test_none_is_lost_whichever_part_is_away(seed, replicas) -> None:
    chance = random.Random(seed)
    down = outages(chance, [*HOSTS, "store", "log"])
    case = with_schedule(OutageCase([], down, replicas), random_outputs(chance), 1000)
    assert case.outputs
    result = run(case)
    assert result.lost() == set()
    twice = sum(result.origin.served.values()) - len(case.outputs)
    assert twice <= case.slots * len(down)  # what was under way when the store or the log went


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), replicas=st.sampled_from([1, 2]))
def test_as_few_are_lost_as_must_be(seed, replicas) -> None:
    """Exactly as many as by one who knows all and sees every end at once. That can be, as an outage leaves an
    output either nothing or enough to see the end: who sees it later has as many. (Without outages of the
    log: what was claimed before goes on, which the oracle does not count.)"""
    chance = random.Random(seed)
    case = OutageCase(list(islice(random_outputs(chance), 120)), outages(chance, [*HOSTS, "store"]), replicas)
    least = possible(case, seen=0.0)
    least.check()
    assert len(least.refused) == len(possible(case).refused)
    assert len(run(case).lost()) == len(least.refused)


def test_with_too_few_slots_hardly_more_are_lost_than_must_be() -> None:
    """One slot, and all wait for the store from the beginning. Whoever takes the earliest deadline first has
    as many as can be had then (each output may be fetched in one span of time; Glover 1967). That some more
    are lost is the looks into the store for those that have expired: up to a twentieth of the slot."""
    chance = random.Random(2)
    down = Outage("store", 0.0, chance.uniform(40, 50) // 1 * MINUTE)
    case = OutageCase(list(islice(random_outputs(chance), 1200)), [down], slots=1)
    least, late = possible(case, seen=0.0), possible(case)
    least.check()
    hopeless = {output.number for output in case.outputs if output.expiry <= down.end}
    assert len(least.refused) > len(hopeless)
    lost = run(case).lost()
    assert len(least.refused) <= len(lost) <= len(late.refused) + len(late.placed) / 20


def test_hosts_that_are_silent_leave_the_slots_to_others() -> None:
    """With one slot for all. A try at each of the two hangs for ten seconds, all the time."""
    chance = random.Random(1)
    down = [Outage(host, 0.0, LONGEST, "silent") for host in HOSTS[:2]]
    case = with_schedule(OutageCase([], down, slots=1), random_outputs(chance), 600)
    assert run(case).lost() == set()


def test_no_rule_replaces_knowing_which_host_goes_away() -> None:
    """Two futures of the same present: each has a schedule, but whoever does not know them loses in one."""
    outputs_of_both = [SimOutput(0, 0.0, HOUR / 2, HOSTS[0]), SimOutput(1, 0.0, HOUR / 2, HOSTS[1])]
    futures = [OutageCase(outputs_of_both, [Outage(host, FETCH_S, HOUR)], slots=1) for host in HOSTS[:2]]
    assert not any(possible(future).refused for future in futures)
    assert sum(len(run(future).lost()) for future in futures) == 1
