"""What a row of the table is: samples taken side by side, their medians, their ratio, and the bar."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Scale:
    """How much is measured: everything, or just enough to see that it runs."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """The number for this scale."""
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
        """Here over there: of each pair, then the median, so that a machine that slows down slows both."""
        return ratio(self.here, self.there) if self.there else None


Row = Callable[[Scale], Coroutine[None, None, list[Line]]]
"""A script of the table: measures at a scale, answers its lines."""


def ratio(here: Sequence[float], there: Sequence[float]) -> float:
    """The median of the ratios of pairs that were taken side by side."""
    return median(ours / theirs for ours, theirs in zip(here, there, strict=True))


def percentile(samples: Sequence[float], percent: int) -> float:
    """The smallest sample that at least so many percent of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def side_by_side(
    runs: int, here: Callable[[], Awaitable[float]], there: Callable[[], Awaitable[float]]
) -> tuple[list[float], list[float]]:
    """Take turns, each first every other time: what the one leaves behind (caches, writes) meets both."""
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
