"""What runs cost: a table that people can edit, what runs should and can cost by it, and what they have cost.

Money is in whole micro-dollars. A price has up to four parts: per run, per second of output, per output, and
per second of computing (community models). The *estimate* is what a run should cost, for people; the
*reserve* is the most it can cost, for the caps (services/generator/README.md, "Costs").
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from generator.core.models.domain import output_bounds
from generator.core.models.domain.media_kinds import Kind
from generator.core.models.domain.model_schema import Parameter
from generator.core.runs.domain.prediction import GRACE, Prediction, addresses

_PARTS = ("per_run", "per_second", "per_output", "per_compute_second")
_BOUNDS = ("most_seconds", "most_outputs", "deadline_s")
_COMPUTE_GUESSED = 60.0

DEADLINES = (5.0, 86_400.0)
"""Seconds: the shortest and the longest deadline that the provider takes (docs/provider.md)."""

MOST_SECONDS, MOST_OUTPUTS = 60.0, 4
"""What a run delivers at most where schema, input and table set no bound."""

MOST = 10**15
"""Micro-dollars (a billion dollars): no run costs more, and no cap is higher."""


class WrongPrices(Exception):  # noqa: N818  # tells what is the matter
    """The price file cannot be read: which entry, and what it should be."""


@dataclass(frozen=True)
class Price:
    """Micro-dollars for each part; `basis` is the table's entry that it comes from.

    Args:
        most_seconds: seconds of output, where neither input nor schema bounds them; 0: not said here.
        most_outputs: outputs, likewise.
        deadline_s: seconds after which a run is ended, when that is sooner than for all; 0: not said here.
    """

    basis: str
    per_run: int = 0
    per_second: int = 0
    per_output: int = 0
    per_compute_second: int = 0
    most_seconds: float = 0.0
    most_outputs: int = 0
    deadline_s: float = 0.0

    @property
    def hint(self) -> str:
        """In words, such as "$0.15 per second of output"."""
        words = (
            (self.per_run, "per run"),
            (self.per_second, "per second of output"),
            (self.per_output, "per output"),
            (self.per_compute_second, "per second of computing"),
        )
        return " + ".join(
            f"${micros / 1_000_000:.6f}".rstrip("0").rstrip(".") + f" {what}"
            for micros, what in words
            if micros
        )


@dataclass(frozen=True)
class Estimate:
    """What a run should cost, in micro-dollars, and where the figure comes from."""

    micros: int
    basis: str


class PriceTable:
    """Prices by model, by kind of output, and the default."""

    def __init__(self, models: Mapping[str, Price], kinds: Mapping[str, Price], default: Price) -> None:
        self._models = models
        self._kinds = kinds
        self._default = default

    def of(self, model: str, kind: Kind) -> Price:
        """The model's own price, else that of its kind, else the default; bounds it does not say likewise."""
        entries = [self._models.get(model), self._kinds.get(kind.value), self._default]
        said = [entry for entry in entries if entry is not None]
        return replace(
            said[0],
            most_seconds=next((each.most_seconds for each in said if each.most_seconds), MOST_SECONDS),
            most_outputs=next((each.most_outputs for each in said if each.most_outputs), MOST_OUTPUTS),
            deadline_s=next((each.deadline_s for each in said if each.deadline_s), 0.0),
        )

    def known(self, model: str) -> Price | None:
        """The model's own price."""
        return self._models.get(model)


def load(text: str) -> PriceTable:
    """Read a table in TOML, dollars as numbers: `[default]`, `[kinds.video]`, `[models."owner/name"]`.

    Raises:
        WrongPrices: it is no TOML, has no default, or an entry is not a finite amount of at least 0.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongPrices(f"the price file is no TOML: {error}") from error
    if "default" not in raw:
        raise WrongPrices("the price file has no [default]: what should a model cost that it does not name?")
    return PriceTable(
        {name: _price(entry, name) for name, entry in _table(raw, "models").items()},
        {name: _price(entry, f"the default for {name}") for name, entry in _table(raw, "kinds").items()},
        _price(raw["default"], "the default price"),
    )


def deadline(price: Price, longest: float) -> float:
    """Seconds after which a run of this model is ended; `longest`: those of every run."""
    return min(price.deadline_s or longest, longest)


def estimate(
    price: Price, *, model: str, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> Estimate:
    """What a run with this checked input should cost."""
    seconds, outputs = _delivered(price, parameters, given)
    micros = price.per_run + price.per_second * seconds.typical + price.per_output * outputs.typical
    micros += price.per_compute_second * _COMPUTE_GUESSED
    parts = [f"{seconds.typical:g} s"] * bool(price.per_second)
    parts += [f"{outputs.typical:g} outputs"] * bool(price.per_output)
    source = "price table" if price.basis == model else f"price table, {price.basis}"
    return Estimate(
        _whole(micros), f"{source}: {price.hint or 'free'}" + (f", {', '.join(parts)}" if parts else "")
    )


def reserve(
    price: Price,
    *,
    parameters: Sequence[Parameter] | None,
    given: Mapping[str, Any],
    deadline: float,
) -> int:
    """The most that a run with this checked input can cost, in micro-dollars: what is set aside for it.

    Args:
        price: of the model.
        parameters: of the model; None when it publishes no schema.
        given: the checked input.
        deadline: seconds after which the provider ends the run; we do so `GRACE` later.
    """
    seconds, outputs = _delivered(price, parameters, given)
    computing = max(deadline + GRACE.total_seconds(), _COMPUTE_GUESSED)
    micros = price.per_run + price.per_second * seconds.most + price.per_output * outputs.most
    return _whole(micros + price.per_compute_second * computing)


def cost(
    price: Price,
    prediction: Prediction,
    *,
    parameters: Sequence[Parameter] | None = None,
    given: Mapping[str, Any] | None = None,
) -> int:
    """What a finished run has cost, from the provider's metrics where they say, else as estimated.

    What never started is free. A failed run costs its computing, and what its metrics say it delivered.
    `given`: the input as we sent it; else the provider's own record of it, which it deletes after a while.
    """
    if not prediction.started:
        return 0
    metrics = prediction.metrics
    seconds = _metric(metrics, "video_output_duration_seconds", "audio_output_duration_seconds")
    outputs = _metric(metrics, "image_output_count", "video_output_count", "audio_output_count")
    succeeded = prediction.status == "succeeded"
    if succeeded:
        typical, _ = _delivered(price, parameters, prediction.input if given is None else given)
        seconds = typical.typical if seconds is None else seconds
        outputs = float(len(addresses(prediction.output))) if outputs is None else outputs
    run = price.per_run if succeeded else 0
    compute = price.per_compute_second * _computing(prediction)
    return _whole(run + compute + price.per_second * (seconds or 0.0) + price.per_output * (outputs or 0.0))


def _delivered(
    price: Price, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> tuple[output_bounds.Amount, output_bounds.Amount]:
    """Seconds of output, and outputs."""
    longest, many = price.most_seconds or MOST_SECONDS, price.most_outputs or MOST_OUTPUTS
    return (
        output_bounds.seconds(parameters, given, unbounded=longest, unbounded_outputs=many),
        output_bounds.outputs(parameters, given, unbounded=many),
    )


def _computing(prediction: Prediction) -> float:
    """Seconds of computing: as measured, else from start to end, else a guess."""
    measured = _metric(prediction.metrics, "predict_time")
    if measured is not None:
        return measured
    if prediction.started_at is None or prediction.completed_at is None:
        return _COMPUTE_GUESSED
    return max((prediction.completed_at - prediction.started_at).total_seconds(), 0.0)


def _whole(micros: float) -> int:
    """Rounded up; what no account could hold is the most that one can."""
    return math.ceil(min(micros, MOST))


def _metric(metrics: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = metrics.get(name)
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and value >= 0
        ):
            return float(value)
    return None


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, Mapping):
        raise WrongPrices(f"{name} in the price file must be a table")
    return table


def _price(entry: Any, basis: str) -> Price:
    if not isinstance(entry, Mapping) or not set(entry) <= {*_PARTS, *_BOUNDS}:
        raise WrongPrices(f"{basis} in the price file must hold only {', '.join(_PARTS + _BOUNDS)}")
    parts: dict[str, int] = {}
    for name in _PARTS:
        dollars = _amount(entry, name, basis, "dollars, 0 or more")
        parts[name] = round(dollars * 1_000_000)
    deadline_s = _amount(entry, "deadline_s", basis, "seconds, 5 to 86400")
    if deadline_s and not DEADLINES[0] <= deadline_s <= DEADLINES[1]:
        raise WrongPrices(f"deadline_s of {basis} in the price file is {deadline_s!r}: seconds, 5 to 86400")
    return Price(
        basis,
        **parts,
        most_seconds=_amount(entry, "most_seconds", basis, "seconds"),
        most_outputs=math.ceil(_amount(entry, "most_outputs", basis, "a number of outputs")),
        deadline_s=deadline_s,
    )


def _amount(entry: Mapping[str, Any], name: str, basis: str, what: str) -> float:
    value = entry.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1_000_000:
        raise WrongPrices(f"{name} of {basis} in the price file is {value!r}: {what}")
    return value
