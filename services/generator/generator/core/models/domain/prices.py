"""Reads the price table, and computes from it what a run should cost and what it can cost at most.

Money is in whole micro-dollars. A price has up to four parts: per run, per second of output, per output, and
per second of computing (community models). The *estimate* is what a run should cost, for people; the
*reserve* is the most that it can cost, for the caps (services/generator/README.md, "Costs").
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.model_schema import Parameter
from generator.core.models.domain.output_bounds import Quantity, output_count, output_seconds

DEADLINES = (5.0, 86_400.0)
"""Seconds: the shortest and the longest deadline that the provider takes (docs/provider.md)."""

DEADLINE_GRACE = timedelta(seconds=60)
"""What the provider gets beyond a run's deadline to end it; then we stop it. A reserve pays for it."""

COMPUTE_SECONDS_GUESSED = 60.0

_PARTS = ("per_run", "per_second", "per_output", "per_compute_second")
_BOUNDS = ("most_seconds", "most_outputs", "deadline_s")
_FALLBACK_SECONDS, _FALLBACK_OUTPUTS = 60.0, 4
"""What a run delivers at most where schema, input and table set no bound."""

_HIGHEST_COST = 10**15
"""Micro-dollars (a billion dollars): no run costs more, and no cap is higher."""


class PriceFileError(Exception):
    """The price file cannot be read: which entry, and what it should be."""


@dataclass(frozen=True)
class Price:
    """Micro-dollars for each part; `basis` is the entry of the table that it comes from.

    Args:
        most_seconds: seconds of output, where neither input nor schema bounds them; 0: not given here.
        most_outputs: outputs, likewise.
        deadline_s: seconds after which a run is ended, when that is sooner than for all; 0: not given here.
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

    def price_of(self, model: str, kind: MediaKind) -> Price:
        """The model's own price, else that of its kind, else the default; bounds that it lacks likewise."""
        entries = [self._models.get(model), self._kinds.get(kind.value), self._default]
        present = [entry for entry in entries if entry is not None]
        return replace(
            present[0],
            most_seconds=next(
                (each.most_seconds for each in present if each.most_seconds), _FALLBACK_SECONDS
            ),
            most_outputs=next(
                (each.most_outputs for each in present if each.most_outputs), _FALLBACK_OUTPUTS
            ),
            deadline_s=next((each.deadline_s for each in present if each.deadline_s), 0.0),
        )

    def own_price(self, model: str) -> Price | None:
        return self._models.get(model)


def load_prices(text: str) -> PriceTable:
    """Read a table in TOML, dollars as numbers: `[default]`, `[kinds.video]`, `[models."owner/name"]`.

    Raises:
        PriceFileError: it is no TOML, has no default, or an entry is not a finite amount of at least 0.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PriceFileError(f"the price file is no TOML: {error}") from error
    if "default" not in raw:
        raise PriceFileError(
            "the price file has no [default]: what should a model cost that it does not name?"
        )
    return PriceTable(
        {name: _price(entry, name) for name, entry in _table(raw, "models").items()},
        {name: _price(entry, f"the default for {name}") for name, entry in _table(raw, "kinds").items()},
        _price(raw["default"], "the default price"),
    )


def run_deadline(price: Price, longest: float) -> float:
    """Seconds after which a run of this model is ended; `longest`: those of every run."""
    return min(price.deadline_s or longest, longest)


def estimate(
    price: Price, *, model: str, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> Estimate:
    """What a run with this checked input should cost."""
    seconds, outputs = expected_output(price, parameters, given)
    micros = price.per_run + price.per_second * seconds.typical + price.per_output * outputs.typical
    micros += price.per_compute_second * COMPUTE_SECONDS_GUESSED
    parts = [f"{seconds.typical:g} s"] * bool(price.per_second)
    parts += [f"{outputs.typical:g} outputs"] * bool(price.per_output)
    source = "price table" if price.basis == model else f"price table, {price.basis}"
    return Estimate(
        whole_micros(micros), f"{source}: {price.hint or 'free'}" + (f", {', '.join(parts)}" if parts else "")
    )


def reserve(
    price: Price, *, parameters: Sequence[Parameter] | None, given: Mapping[str, Any], deadline: float
) -> int:
    """The most that a run with this checked input can cost, in micro-dollars.

    Args:
        price: of the model.
        parameters: of the model; None when it publishes no schema.
        given: the checked input.
        deadline: seconds after which the provider ends the run; we do so `DEADLINE_GRACE` later.
    """
    seconds, outputs = expected_output(price, parameters, given)
    computing = max(deadline + DEADLINE_GRACE.total_seconds(), COMPUTE_SECONDS_GUESSED)
    micros = price.per_run + price.per_second * seconds.most + price.per_output * outputs.most
    return whole_micros(micros + price.per_compute_second * computing)


def expected_output(
    price: Price, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> tuple[Quantity, Quantity]:
    """Seconds of output, and outputs, that a run delivers."""
    longest, many = price.most_seconds or _FALLBACK_SECONDS, price.most_outputs or _FALLBACK_OUTPUTS
    return (
        output_seconds(parameters, given, unbounded=longest, unbounded_outputs=many),
        output_count(parameters, given, unbounded=many),
    )


def whole_micros(micros: float) -> int:
    """Rounded up; at most what an account can hold."""
    return math.ceil(min(micros, _HIGHEST_COST))


def _table(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, Mapping):
        raise PriceFileError(f"{name} in the price file must be a table")
    return table


def _price(entry: Any, basis: str) -> Price:
    if not isinstance(entry, Mapping) or not set(entry) <= {*_PARTS, *_BOUNDS}:
        raise PriceFileError(f"{basis} in the price file must hold only {', '.join(_PARTS + _BOUNDS)}")
    parts: dict[str, int] = {}
    for name in _PARTS:
        dollars = _amount(entry, name, basis, "dollars, 0 or more")
        parts[name] = round(dollars * 1_000_000)
    deadline_s = _amount(entry, "deadline_s", basis, "seconds, 5 to 86400")
    if deadline_s and not DEADLINES[0] <= deadline_s <= DEADLINES[1]:
        raise PriceFileError(
            f"deadline_s of {basis} in the price file is {deadline_s!r}: seconds, 5 to 86400"
        )
    return Price(
        basis,
        **parts,
        most_seconds=_amount(entry, "most_seconds", basis, "seconds"),
        most_outputs=math.ceil(_amount(entry, "most_outputs", basis, "a number of outputs")),
        deadline_s=deadline_s,
    )


def _amount(entry: Mapping[str, Any], name: str, basis: str, expected: str) -> float:
    value = entry.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1_000_000:
        raise PriceFileError(f"{name} of {basis} in the price file is {value!r}: {expected}")
    return value
