"""The oracle of the virtual hour, against trying everything."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracle import Timetable, windows

UNITS = 5

Span = tuple[int, int]
SPANS = st.tuples(st.integers(0, UNITS), st.integers(0, UNITS)).map(lambda pair: (min(pair), max(pair)))


def most_possible(outputs: list[list[Span]], slots: int) -> int:
    """By trying every start of every output, also those between two units, or none."""
    halves = [Fraction(half, 2) for half in range(UNITS * 2)]
    starts = [
        [None, *(s for s in halves if any(begin <= s and s + 1 <= end for begin, end in spans))]
        for spans in outputs
    ]
    best = 0
    for chosen in product(*starts):
        running = [start for start in chosen if start is not None]
        if len(running) > best and all(
            sum(start <= moment < start + 1 for start in running) <= slots for moment in running
        ):
            best = len(running)
    return best


@settings(max_examples=150, deadline=None)
@given(lives=st.lists(SPANS, max_size=5), away=st.lists(SPANS, max_size=2), slots=st.integers(1, 2))
def test_as_many_as_can_be_had_at_all(lives, away, slots) -> None:
    """Every other output lies at the host that is away at times."""
    outputs = [windows(*life, away if number % 2 else []) for number, life in enumerate(lives)]
    table = Timetable(UNITS, slots)
    for number, spans in enumerate(outputs):
        table.place(number, spans)
    table.check()
    assert len(table.placed) == most_possible(outputs, slots)


@given(life=SPANS, away=st.lists(SPANS, max_size=4))
def test_windows_are_what_is_left(life, away) -> None:
    begin, end = life
    left = [unit for start, stop in windows(begin, end, away) for unit in range(start, stop)]
    gone = {unit for start, stop in away for unit in range(start, stop)}
    assert left == [unit for unit in range(begin, end) if unit not in gone]


def test_others_move_for_one_that_has_no_choice() -> None:
    table = Timetable(units=2, slots=1)
    assert table.place(0, [(0, 2)])
    assert table.place(1, [(0, 1)])
    assert table.placed == {0: 1, 1: 0}
    assert not table.place(2, [(0, 2)])
    table.check()
