"""What runs cost: a table that people can edit, estimates from it, and costs from the provider's own metrics.

Money is in whole micro-dollars. A price has up to four parts: per run, per second of output, per output, and
per second of computing (community models).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import fitting
from .kinds import Kind
from .prediction import Prediction, addresses
from .schema import Parameter, Type

_PARTS = ("per_run", "per_second", "per_output", "per_compute_second")
_SECONDS_GUESSED, _COMPUTE_GUESSED = 5.0, 60.0
_OUTPUTS = (
    "num_outputs",
    "number_of_images",
    "num_images",
    "n",
    "batch_size",
    "number_of_outputs",
    "max_images",
)


MOST = 10**15
"""Micro-dollars (a billion dollars): no run costs more, and no cap is higher."""


class WrongPrices(Exception):  # noqa: N818  # tells what is the matter
    """The price file cannot be read: which entry, and what it should be."""


@dataclass(frozen=True)
class Price:
    """Micro-dollars for each part; `basis` is the table's entry that it comes from."""

    basis: str
    per_run: int = 0
    per_second: int = 0
    per_output: int = 0
    per_compute_second: int = 0

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
        """The model's own price, else that of its kind, else the default."""
        return self._models.get(model) or self._kinds.get(kind.value) or self._default

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


def estimate(
    price: Price, *, model: str, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> Estimate:
    """What a run with this checked input should cost."""
    seconds = _seconds(parameters or (), given) if price.per_second else 0.0
    outputs = _outputs(parameters or (), given) if price.per_output else 0
    micros = price.per_run + price.per_second * seconds + price.per_output * outputs
    micros += price.per_compute_second * _COMPUTE_GUESSED
    parts = [f"{seconds:g} s"] * bool(seconds) + [f"{outputs} outputs"] * bool(outputs)
    source = "price table" if price.basis == model else f"price table, {price.basis}"
    return Estimate(
        _whole(micros), f"{source}: {price.hint or 'free'}" + (f", {', '.join(parts)}" if parts else "")
    )


def cost(
    price: Price,
    prediction: Prediction,
    *,
    parameters: Sequence[Parameter] | None = None,
) -> int:
    """What a finished run has cost, from the provider's metrics where they say, else as estimated.

    What never started is free. A failed run costs its computing, and what its metrics say it delivered.
    """
    if not prediction.started:
        return 0
    metrics = prediction.metrics
    compute = price.per_compute_second * (_metric(metrics, "predict_time") or 0.0)
    seconds = _metric(metrics, "video_output_duration_seconds", "audio_output_duration_seconds")
    outputs = _metric(metrics, "image_output_count", "video_output_count", "audio_output_count")
    succeeded = prediction.status == "succeeded"
    if succeeded:
        seconds = _seconds(parameters or (), prediction.input) if seconds is None else seconds
        outputs = float(len(addresses(prediction.output))) if outputs is None else outputs
    run = price.per_run if succeeded else 0
    return _whole(run + compute + price.per_second * (seconds or 0.0) + price.per_output * (outputs or 0.0))


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


def _seconds(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> float:
    numeric = (Type.INTEGER, Type.NUMBER, Type.STRING)
    chosen = fitting.find(parameters, fitting.SECONDS, numeric)
    names = [chosen.name] if chosen else list(fitting.SECONDS)
    value = next((given[name] for name in names if name in given), chosen.default if chosen else None)
    if (number := fitting.number_of(value)) is not None and number > 0:
        return number
    frames, rate = (
        fitting.find(parameters, fitting.FRAMES, numeric),
        fitting.find(parameters, fitting.RATE, numeric),
    )
    if frames is not None and rate is not None:
        count = fitting.number_of(given.get(frames.name, frames.default))
        fps = fitting.number_of(given.get(rate.name, rate.default))
        if count and fps:
            return count / fps
    return _SECONDS_GUESSED


def _outputs(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> int:
    chosen = fitting.find(parameters, _OUTPUTS, (Type.INTEGER, Type.NUMBER))
    value = given.get(chosen.name, chosen.default) if chosen else None
    return max(int(fitting.number_of(value) or 1), 1)


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, Mapping):
        raise WrongPrices(f"{name} in the price file must be a table")
    return table


def _price(entry: Any, basis: str) -> Price:
    if not isinstance(entry, Mapping) or not set(entry) <= set(_PARTS):
        raise WrongPrices(f"{basis} in the price file must hold only {', '.join(_PARTS)}")
    parts: dict[str, int] = {}
    for name, dollars in entry.items():
        if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 1_000_000:
            raise WrongPrices(f"{name} of {basis} in the price file is {dollars!r}: dollars, 0 or more")
        parts[name] = round(dollars * 1_000_000)
    return Price(basis, **parts)
