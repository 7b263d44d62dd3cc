"""10,000 outputs that expire in an hour, outages of 5 to 50 minutes: none is lost while a schedule exists.

The use case, its queue, retries, claims, facts and redelivery verdicts are the real ones, on a virtual clock
(`hour_world`). Whether a schedule exists is the word of an exact oracle that knows every outage beforehand
(`hour_oracle`). It differs from the downloader's lot in two things that nobody can have, and the cases leave
no room for them: knowing that an outage comes (`CALM_S`; the last test shows that no rule replaces it), and
knowing that one is over before a try has shown it (`SEEN_S`).
"""

from __future__ import annotations

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outage_cases import HOSTS, LONGEST, SHORTEST, calm, jobs, outage, outages, possible, with_schedule
from simulated_downloader import FETCH_S, HOUR, run
from virtual_time import Case, Job, Outage

MINUTE = 60.0


def test_of_ten_thousand_none_is_lost_while_a_schedule_exists() -> None:
    """Three of four hosts are away at times, and come back to what has waited for them, and for 16 slots."""
    chance = random.Random(1)
    lengths = [(45 * MINUTE, LONGEST), (SHORTEST, 10 * MINUTE), (SHORTEST, LONGEST)]
    away = calm(lambda: [outage(chance, host, *span) for host, span in zip(HOSTS, lengths, strict=False)])
    made = with_schedule(Case([], away), jobs(chance), 10_000)

    table = possible(made)
    table.check()
    assert len(table.placed) == len(made.jobs) == 10_000
    assert max(job.expiry for job in made.jobs) <= HOUR
    assert len({job.host for job in made.jobs}) == 4
    lasted = sorted(one.end - one.start for one in away)
    assert SHORTEST <= lasted[0] <= 10 * MINUTE
    assert 45 * MINUTE <= lasted[-1] <= LONGEST

    result = run(made)
    assert result.lost() == set()
    assert set(result.origin.given.values()) == {1}


@pytest.mark.parametrize(("seed", "replicas"), [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1), (6, 2)])
def test_none_is_lost_whichever_part_is_away(seed, replicas) -> None:
    chance = random.Random(seed)
    away = outages(chance, [*HOSTS, "store", "log"])
    made = with_schedule(Case([], away, replicas), jobs(chance), 1000)
    assert made.jobs
    result = run(made)
    assert result.lost() == set()
    twice = sum(result.origin.given.values()) - len(made.jobs)
    assert twice <= made.slots * len(away)  # what was under way when the store or the log went


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), replicas=st.sampled_from([1, 2]))
def test_as_few_are_lost_as_must_be(seed, replicas) -> None:
    """Exactly as many as by one who knows all and sees every end at once. That can be, as an outage leaves an
    output either nothing or enough to see the end: who sees it later has as many. (Without outages of the
    log: what was claimed before goes on, which the oracle does not count.)"""
    chance = random.Random(seed)
    made = Case(list(islice(jobs(chance), 120)), outages(chance, [*HOSTS, "store"]), replicas)
    least = possible(made, seen=0.0)
    least.check()
    assert len(least.refused) == len(possible(made).refused)
    assert len(run(made).lost()) == len(least.refused)


def test_with_too_few_slots_hardly_more_are_lost_than_must_be() -> None:
    """One slot, and all wait for the store from the beginning. Whoever takes the earliest deadline first has
    as many as can be had then (each output may be fetched in one span of time; Glover 1967). That some more
    are lost is the looks into the store for those that have expired: up to a twentieth of the slot."""
    chance = random.Random(2)
    away = Outage("store", 0.0, chance.uniform(40, 50) // 1 * MINUTE)
    made = Case(list(islice(jobs(chance), 1200)), [away], slots=1)
    least, late = possible(made, seen=0.0), possible(made)
    least.check()
    hopeless = {job.number for job in made.jobs if job.expiry <= away.end}
    assert len(least.refused) > len(hopeless)
    lost = run(made).lost()
    assert len(least.refused) <= len(lost) <= len(late.refused) + len(late.placed) / 20


def test_hosts_that_say_nothing_leave_the_slots_to_others() -> None:
    """With one slot for all. A try at each of the two hangs for ten seconds, all the time."""
    chance = random.Random(1)
    away = [Outage(host, 0.0, LONGEST, "silent") for host in HOSTS[:2]]
    made = with_schedule(Case([], away, slots=1), jobs(chance), 600)
    assert run(made).lost() == set()


def test_no_rule_replaces_knowing_which_host_goes_away() -> None:
    """Two futures of the same present: each has a schedule, but whoever does not know them loses in one."""
    life = [Job(0, 0.0, HOUR / 2, HOSTS[0]), Job(1, 0.0, HOUR / 2, HOSTS[1])]
    futures = [Case(life, [Outage(host, FETCH_S, HOUR)], slots=1) for host in HOSTS[:2]]
    assert not any(possible(future).refused for future in futures)
    assert sum(len(run(future).lost()) for future in futures) == 1
