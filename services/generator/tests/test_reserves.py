"""What is reserved for a run is never less than what it can cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import prod
from typing import Any

import pytest
from generator_world import World
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.model_schema import Parameter, ParameterType, number_of
from generator.core.models.domain.output_bounds import ROUNDED_UP
from generator.core.models.domain.prices import (
    DEADLINE_GRACE,
    Price,
    PriceFileError,
    estimate,
    load_prices,
    reserve,
    run_deadline,
)
from generator.core.runs.domain.events import PredictionCanceled
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.run_cost import run_cost

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLE = load_prices(
    """
    [default]
    per_run = 0.05
    most_seconds = 90

    [kinds.video]
    per_second = 0.10
    most_outputs = 2

    [models."a/slow"]
    per_compute_second = 0.001
    deadline_s = 300
    """
)
prices = st.builds(
    Price,
    st.just("a/b"),
    per_run=st.integers(0, 10**6),
    per_second=st.integers(0, 10**6),
    per_output=st.integers(0, 10**6),
    per_compute_second=st.integers(0, 10**4),
    most_seconds=st.floats(1, 600),
    most_outputs=st.integers(1, 50),
)


@st.composite
def knobs(draw: st.DrawFn, name: str) -> Parameter:
    """A number parameter in one of the forms that schemas have it in."""
    form = draw(st.sampled_from(("range", "choice", "words", "free")))
    if form == "choice":
        options = draw(st.lists(st.integers(1, 60), min_size=1, max_size=4, unique=True))
        return Parameter(
            name, ParameterType.INTEGER, enum=tuple(options), default=draw(st.sampled_from([None, *options]))
        )
    if form == "words":
        options = [f"{n}s" for n in draw(st.lists(st.integers(1, 60), min_size=1, max_size=3))]
        words = ("auto", *options)
        return Parameter(
            name, ParameterType.STRING, enum=words, default=draw(st.sampled_from([None, *words]))
        )
    if form == "range":
        high = draw(st.integers(1, 300))
        default = draw(st.none() | st.just(-1) | st.integers(1, high))
        return Parameter(name, ParameterType.INTEGER, minimum=-1, maximum=high, default=default)
    return Parameter(name, ParameterType.NUMBER, default=draw(st.none() | st.integers(1, 300)))


MOST_OUTPUTS = 1000
"""Of one run. The sum is the same for more, and a list of a hundred million addresses takes hours."""


@dataclass(frozen=True)
class Case:
    """A model, an input for it, and what the model makes of it by its own schema."""

    price: Price
    parameters: tuple[Parameter, ...]
    input: dict[str, Any]
    seconds: float
    outputs: int
    counted: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """The model does what the input says; what the input leaves open it chooses within its own bounds."""
    price = draw(prices)
    names = draw(st.lists(st.sampled_from(("duration", "seconds", "video_length")), max_size=2, unique=True))
    lengths = [draw(knobs(name)) for name in names]
    counts = [
        draw(knobs(name))
        for name in draw(st.lists(st.sampled_from(("num_outputs", "batch_size")), max_size=2, unique=True))
    ]
    frames = [draw(knobs("num_frames"))] if draw(st.booleans()) else []
    rates = (
        [
            Parameter(
                "fps",
                ParameterType.INTEGER,
                minimum=4,
                maximum=60,
                default=draw(st.none() | st.integers(4, 60)),
            )
        ]
        if frames and draw(st.booleans())
        else []
    )
    given_: dict[str, Any] = {}
    made: dict[str, float] = {}
    for knob in (*lengths, *counts, *frames, *rates):
        if draw(st.booleans()):
            given_[knob.name] = draw(_allowed(knob))
        number = number_of(given_.get(knob.name, knob.default))
        bound = price.most_outputs if knob in counts else price.most_seconds
        made[knob.name] = number if number is not None and number > 0 else draw(_own_choice(knob, bound))
    sources = [made[knob.name] for knob in lengths]
    if rates:
        sources.append(made["num_frames"] / made["fps"])
    length = draw(st.sampled_from(sources)) if sources else draw(st.floats(0, price.most_seconds))
    many = prod(int(made[knob.name]) for knob in counts)
    assume(many <= MOST_OUTPUTS)
    outputs = many if counts else draw(st.integers(0, price.most_outputs))
    return Case(price, (*lengths, *counts, *frames, *rates), given_, length * many, outputs, many)


def _allowed(knob: Parameter) -> st.SearchStrategy[Any]:
    if knob.enum:
        return st.sampled_from(knob.enum)
    return st.integers(int(knob.minimum or 1), int(knob.maximum or 100))  # two counts multiply


def _own_choice(knob: Parameter, bound: float) -> st.SearchStrategy[float]:
    options = [number for option in knob.enum if (number := number_of(option))]
    if options:
        return st.sampled_from(options)
    least = max(int(knob.minimum or 1), 1)
    return st.integers(least, max(int(knob.maximum or bound), least)).map(float)


@settings(max_examples=400)
@given(
    case=cases(),
    ends=st.floats(5, 86_400),
    ran=st.floats(0, 1),
    status=st.sampled_from(("succeeded", "failed", "canceled", "processing")),
    measured=st.booleans(),
    longer=st.floats(0, ROUNDED_UP),
    timed=st.booleans(),
)
def test_no_run_costs_more_than_is_reserved(
    case: Case, ends: float, ran: float, status: str, measured: bool, longer: float, timed: bool
) -> None:
    """Every part of a price, any input, ended by its deadline at the latest, each output rounded up."""
    computed = ran * (ends + DEADLINE_GRACE.total_seconds())
    metrics: dict[str, float] = {"predict_time": computed} if timed else {}
    if measured:
        made = case.seconds + longer * case.counted
        metrics |= {"video_output_duration_seconds": made, "video_output_count": case.outputs}
    prediction = Prediction(
        "p",
        status,
        [f"https://x.test/{n}.mp4" for n in range(case.outputs)],
        metrics=metrics,
        started_at=NOW,
        completed_at=NOW + timedelta(seconds=computed),
    )
    price, parameters = case.price, case.parameters
    most = reserve(price, parameters=parameters, given=case.input, deadline=ends)
    assert run_cost(price, prediction, parameters=parameters, given=case.input) <= most
    assert estimate(price, model="a/b", parameters=parameters, given=case.input).micros <= most


@given(price=prices, named=st.floats(0.1, 1e12), ends=st.floats(5, 86_400))
def test_nor_where_there_is_no_schema(price: Price, named: float, ends: float) -> None:
    most = reserve(price, parameters=None, given={"duration": named, "n": 3}, deadline=ends)
    delivers = {
        "video_output_duration_seconds": max(named, price.most_seconds) + ROUNDED_UP,
        "video_output_count": max(3, price.most_outputs),
        "predict_time": ends,
    }
    assert run_cost(price, Prediction("p", "succeeded", metrics=delivers, started_at=NOW)) <= most


def test_computing_is_reserved_up_to_the_deadline() -> None:
    price = TABLE.price_of("a/slow", MediaKind.AUDIO)
    assert run_deadline(price, 1800.0) == 300.0, "the table's, when it is sooner"
    assert run_deadline(price, 60.0) == 60.0
    guess = estimate(price, model="a/slow", parameters=(), given={})
    assert guess.micros == 60 * 1000
    assert reserve(price, parameters=(), given={}, deadline=300.0) == 360 * 1000


def test_bounds_come_from_the_schema_else_from_the_table() -> None:
    video = TABLE.price_of("a/unlisted", MediaKind.VIDEO)
    assert (video.most_seconds, video.most_outputs) == (90, 2), "its kind's, else the default's"

    def seconds(*parameters: Parameter, **given_: Any) -> float:
        return reserve(video, parameters=parameters, given=given_, deadline=60.0) / 100_000

    duration = Parameter("duration", ParameterType.INTEGER, minimum=-1, maximum=12, default=5)
    assert seconds(duration) == 5 + 1, "rounded up by the model"
    assert seconds(duration, duration=8) == 8 + 1
    assert seconds(duration, duration=-1) == 12 + 1, "left to the model"
    assert (
        seconds(Parameter("duration", ParameterType.STRING, enum=("auto", "5s", "10s")), duration="auto")
        == 10 + 1
    )
    assert seconds() == 90 + 1
    counted = Parameter("num_outputs", ParameterType.INTEGER, maximum=4, default=1)
    assert seconds(duration, counted, num_outputs=3) == 3 * (5 + 1), "each output"


def test_a_clip_measured_a_little_longer_than_requested_costs_no_more_than_is_reserved() -> None:
    video = TABLE.price_of("a/unlisted", MediaKind.VIDEO)
    duration = Parameter("duration", ParameterType.INTEGER, minimum=5, maximum=10, default=5)
    most = reserve(video, parameters=(duration,), given={"duration": 5}, deadline=60.0)
    for measured in (5.04, 81 / 16, 129 / 24):
        made = Prediction(
            "p", "succeeded", metrics={"video_output_duration_seconds": measured}, started_at=NOW
        )
        assert 500_000 < run_cost(video, made, parameters=(duration,), given={"duration": 5}) <= most
    guess = estimate(video, model="a/unlisted", parameters=(duration,), given={"duration": 5})
    assert guess.micros == 500_000, "what people see stays what it should cost"


@pytest.mark.parametrize(
    "line", ["deadline_s = 1", "deadline_s = 100000", "most_seconds = -1", "most_outputs = 'x'"]
)
def test_wrong_bounds_are_reported(line: str) -> None:
    with pytest.raises(PriceFileError, match=line.partition(" ")[0]):
        load_prices(f"[default]\nper_run = 1\n{line}")


@pytest.mark.parametrize(("paid_for", "sent"), [(0.0, 1800.0), (300.0, 300.0), (86_400.0, 1800.0)])
async def test_a_run_is_ended_while_its_money_lasts(paid_for: float, sent: float) -> None:
    """The deadline that the reserve was counted for, or the setting when that has become shorter."""
    world = World()
    world.attempts.deadline = paid_for
    generation = world.attempts.add()
    await world.deliver(generation)
    assert [each.run.deadline_s for each in world.provider.submissions] == [sent]


async def test_a_run_that_nobody_ended_is_stopped_and_paid_for_up_to_there() -> None:
    world = World(reads=10**9)
    world.attempts.deadline = 300.0
    generation = world.attempts.add()
    began = world.clock.now()
    await world.deliver(generation)
    stopped = began + timedelta(seconds=300) + DEADLINE_GRACE
    assert stopped <= world.clock.now() < stopped + timedelta(seconds=10)
    (last,) = world.results.priced
    assert last is not None
    assert last.completed_at is not None
    assert abs((last.completed_at - stopped).total_seconds()) < 2
    assert [event.by_deadline for event in world.published(PredictionCanceled)] == [True]
