"""Computes how many outputs can be had at all, by one who knows every outage beforehand, and proves it.

The model: time is counted in units of one fetch. An output may be fetched in the units from its arrival to
its expiry in which its host, the store and the log are there; in each unit as many are fetched as there are
slots. Whether all can be had is then a matching of outputs with places (unit, slot). Sets of outputs that can
be had together are the independent sets of a transversal matroid: added one by one, each by an augmenting
path when there is one, they come to as many as possible in any order. No rule of scheduling is in it.

It is exact for continuous time too, as long as arrivals, expiries and outages begin and end with a unit: let
every fetch of any timetable begin at the start of the unit in which its host answers. It stays between the
same bounds, and those that are then in one unit were all running at once, so there are no more than slots.

The model leaves out all that takes time besides fetching: to receive an event, to see that a host is back,
to try one that is not. Without the event log nobody begins; what was claimed before goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Windows = Sequence[tuple[int, int]]
"""When one output may be fetched: units from, and up to, in order."""


@dataclass
class Timetable:
    """Who is fetched in which unit."""

    units: int
    slots: int
    placed: dict[int, int] = field(default_factory=dict)
    windows: dict[int, Windows] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._there: list[set[int]] = [set() for _ in range(self.units)]
        self._free = _Skip(self.units)
        self._dead = bytearray(self.units)
        """Units that are full, and whose outputs can go to no other that is not."""

    def place(self, number: int, windows: Windows) -> bool:
        """Find it a place, by moving others if need be; False: there is none, whoever is moved."""
        self.windows[number] = windows
        for begin, end in windows:
            if (unit := self._free.first(begin)) < end:
                self._put(number, unit)
                return True
        return self._augment(number)

    def _augment(self, number: int) -> bool:
        unseen = _Skip(self.units)
        through: dict[int, int] = {}
        queue = [number]
        for mover in queue:
            for begin, end in self.windows[mover]:
                while (unit := unseen.first(begin)) < end:
                    unseen.skip(unit)
                    if self._dead[unit]:
                        continue
                    through[unit] = mover
                    if len(self._there[unit]) < self.slots:
                        self._shift(unit, through)
                        return True
                    queue += self._there[unit]
        for unit in through:
            self._dead[unit] = True
        self.refused.add(number)
        return False

    def _shift(self, unit: int, through: dict[int, int]) -> None:
        """The mover goes to the free unit, who came for its place to that one, and so on."""
        while True:
            mover = through[unit]
            before = self.placed.get(mover)
            if before is not None:
                self._there[before].remove(mover)
            self._put(mover, unit)
            if before is None:
                return
            unit = before

    def _put(self, number: int, unit: int) -> None:
        self._there[unit].add(number)
        self.placed[number] = unit
        if len(self._there[unit]) == self.slots:
            self._free.skip(unit)

    def check(self) -> None:
        """Prove that this can be done, and that not one more could be had.

        The proof of the latter (Hall): those that have no unit but the dead ones are as many as these have
        places, and as were refused.
        """
        assert self.windows.keys() == self.placed.keys() | self.refused
        assert not self.placed.keys() & self.refused
        taken = [0] * self.units
        for number, unit in self.placed.items():
            assert any(begin <= unit < end for begin, end in self.windows[number])
            taken[unit] += 1
        assert max(taken, default=0) <= self.slots
        confined = [
            number
            for number, windows in self.windows.items()
            if all(self._dead[unit] for begin, end in windows for unit in range(begin, end))
        ]
        assert len(confined) - self.slots * sum(self._dead) == len(self.refused)


class _Skip:
    """The first number from one on that is not skipped, in nearly no time."""

    def __init__(self, size: int) -> None:
        self._next = list(range(size + 1))

    def first(self, number: int) -> int:
        following = self._next
        root = number
        while following[root] != root:
            root = following[root]
        while following[number] != root:
            following[number], number = root, following[number]
        return root

    def skip(self, number: int) -> None:
        self._next[number] = number + 1


def windows(begin: int, end: int, away: Iterable[tuple[int, int]]) -> Windows:
    """What is left of the units from `begin` up to `end` without those in which something is away."""
    found = []
    for start, stop in sorted(away):
        if start > begin:
            found.append((begin, min(start, end)))
        begin = max(begin, stop)
    found.append((begin, end))
    return [(start, stop) for start, stop in found if start < stop]
