"""Defines a line of the table, its ratio and percentiles, and takes samples side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Scale:
    """How much is measured: everything, or only enough to check that it runs."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        row: the number of the bar, such as "B6".
        what: what was measured.
        unit: of the samples.
        here: samples of Rushes, in the order in which they were taken.
        peer: what a user would use instead; empty when the bar is absolute.
        there: its samples, each taken beside the one of `here` with the same index.
        bar: the bar in words; empty for a line that only informs.
        holds: whether the bar is met; None for a line without one.
        note: what a reader must know to believe or repeat it.
    """

    row: str
    what: str
    unit: str
    here: Sequence[float]
    peer: str = ""
    there: Sequence[float] = ()
    bar: str = ""
    holds: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return ratio(self.here, self.there) if self.there else None


Row = Callable[[Scale], Coroutine[None, None, list[Line]]]
"""Measures one row of the table at a scale; returns its lines."""


def ratio(here: Sequence[float], there: Sequence[float]) -> float:
    """The median of the ratios of pairs: a machine that slows down for a while slows both of a pair."""
    return median(ours / theirs for ours, theirs in zip(here, there, strict=True))


def percentile(samples: Sequence[float], percent: int) -> float:
    """The smallest sample that at least so many percent of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def side_by_side(
    runs: int, here: Callable[[], Awaitable[float]], there: Callable[[], Awaitable[float]]
) -> tuple[list[float], list[float]]:
    """Take turns, each first every other time, so that caches and writes of the one affect both."""
    ours: list[float] = []
    theirs: list[float] = []
    for run in range(runs):
        if run % 2:
            theirs.append(await there())
            ours.append(await here())
        else:
            ours.append(await here())
            theirs.append(await there())
    return ours, theirs
