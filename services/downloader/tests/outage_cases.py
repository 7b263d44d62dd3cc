"""Draws cases of outages from a seed, with what one who knows the future could do about each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from outages import Outage, OutageCase, SimOutput
from schedule_oracle import Timetable, Windows, windows
from simulated_downloader import FETCH_S, HOUR

SHORTEST, LONGEST = 300.0, 3000.0
"""Seconds of an outage."""

SEEN_S = 16.0
"""Seconds until anybody can have seen that an outage is over, and acts on it: a try at a host that
is silent hangs for 10, a lease of the log that ran out for 9; there is one try at a time, a second apart."""

CALM_S = 300.0
"""Seconds in which what an outage left waiting is fetched, unless another outage comes between."""

STEP = 20.0
"""Seconds that everything begins and ends at a multiple of: of units, as the oracle needs it, and more than
`SEEN_S`, so that an outage leaves an output either nothing or enough."""

HOSTS = ("a.example", "b.example", "c.example", "d.example")


def outage(chance: random.Random, part: str, shortest: float = SHORTEST, longest: float = LONGEST) -> Outage:
    """One of that part, somewhere in the hour, of so many seconds."""
    length = _stepped(chance.uniform(shortest, longest + STEP))
    start = _stepped(chance.uniform(0.0, HOUR - length))
    return Outage(part, start, start + length, chance.choice(["refused", "silent", "503"]))


def outages(chance: random.Random, parts: Sequence[str]) -> list[Outage]:
    """One to three, of whichever parts."""
    return calm(lambda: [outage(chance, chance.choice(parts)) for _ in range(chance.randint(1, 3))])


def calm(draw: Callable[[], list[Outage]]) -> list[Outage]:
    """The first draw in which nothing goes down soon after something came back. Who knows that beforehand
    hurries, or lets others wait who expire earlier; nobody else has a reason to."""
    while True:
        drawn = draw()
        if not any(one.end <= other.start < one.end + CALM_S for one in drawn for other in drawn):
            return drawn


def random_outputs(chance: random.Random, hosts: Sequence[str] = HOSTS) -> Iterator[SimOutput]:
    """Outputs that come within 40 minutes, live at least 10, and expire within the hour; no end of them."""
    number = 0
    while True:
        arrival = _stepped(chance.uniform(0.0, 2400.0))
        expiry = _stepped(chance.uniform(arrival + 600.0, HOUR))
        yield SimOutput(number, arrival, expiry, chance.choice(hosts))
        number += 1


def possible(case: OutageCase, *, seen: float = SEEN_S) -> Timetable:
    """A timetable with as many outputs of the case as anybody could have who sees every end so much later."""
    table = Timetable(int(HOUR / FETCH_S), case.slots)
    for output in case.outputs:
        table.place(output.number, _windows(output, case.outages, seen))
    return table


def with_schedule(case: OutageCase, more: Iterator[SimOutput], size: int) -> OutageCase:
    """The case with so many outputs out of `more` as well: each that can be had besides those before it."""
    table = possible(case)
    found = (
        output
        for output in islice(more, 4 * size)
        if table.place(output.number, _windows(output, case.outages, SEEN_S))
    )
    return replace(case, outputs=[*case.outputs, *islice(found, size)])


def _stepped(seconds: float) -> float:
    return seconds // STEP * STEP


def _windows(output: SimOutput, down: list[Outage], seen: float) -> Windows:
    def unit(seconds: float) -> int:
        found, rest = divmod(round(seconds * 1000), round(FETCH_S * 1000))
        assert rest == 0, f"{seconds} s do not begin a unit of {FETCH_S} s: the oracle would not be exact"
        return found

    down_units = [
        (unit(o.start), unit(o.end + seen)) for o in down if o.part in (output.host, "store", "log")
    ]
    return windows(unit(output.arrival), unit(output.expiry), down_units)
