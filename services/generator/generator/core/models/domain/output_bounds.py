"""Bounds how much a run may deliver by its input: the quantity that is typical, and the most that it can be.

The typical quantity is for the estimate that people see; the most is for the money that is reserved. What the
input leaves open is the parameter's default; where the model chooses by itself ("auto", -1, no default) it is
the largest value that the schema allows; where the schema sets no bound, what the price table says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.core.models.domain import model_schema as schema
from generator.core.models.domain.model_schema import Parameter, ParameterType

SECONDS_GUESSED = 5.0
"""Seconds of output of a model that says nothing about its length."""

ROUNDED_UP = 1.0
"""Seconds by which an output may be measured longer than was requested.

Video models render whole groups of frames and one more: 81 at 16 a second are 5.06 s for 5, 129 at 24 are
5.38 s. The largest groups are of 8, at no fewer than 8 a second; sound is rounded up to a packet, far less.
"""

_FALLBACK_FRAME_RATE, _LARGEST = 24.0, 1e15


@dataclass(frozen=True)
class Quantity:
    """How much of something a run delivers: typically, and at most."""

    typical: float
    most: float

    def times(self, other: Quantity) -> Quantity:
        return Quantity(self.typical * other.typical, self.most * other.most)


def output_seconds(
    parameters: Sequence[Parameter] | None,
    given: Mapping[str, Any],
    *,
    unbounded: float,
    unbounded_outputs: int,
) -> Quantity:
    """The length of what a run delivers, all its outputs together; at most, each rounded up.

    Args:
        parameters: of the model; None when it publishes no schema.
        given: the checked input.
        unbounded: the most seconds where neither input nor schema bounds them.
        unbounded_outputs: the most outputs, likewise, of a model that lets them be counted.
    """
    typical, most = _length(parameters, given, unbounded)
    length = Quantity(typical, most + ROUNDED_UP)
    count = _requested_count(parameters, given, unbounded=unbounded_outputs)
    return length.times(count) if count else length


def output_count(
    parameters: Sequence[Parameter] | None, given: Mapping[str, Any], *, unbounded: int
) -> Quantity:
    """How many outputs a run delivers; `unbounded`: the most where neither input nor schema bounds it."""
    requested = _requested_count(parameters, given, unbounded=unbounded)
    return requested or Quantity(1.0, max(float(unbounded), 1.0))


def _length(
    parameters: Sequence[Parameter] | None, given: Mapping[str, Any], unbounded: float
) -> tuple[float, float]:
    lengths = _numbers_named(parameters, given, schema.SECONDS)
    frames = _numbers_named(parameters, given, schema.FRAMES)
    rates = _numbers_named(parameters, given, schema.FRAME_RATE)
    typical = _typical(lengths[:1], given) or _typical(frames[:1], given) / (
        _typical(rates[:1], given) or math.inf
    )
    slowest = min((_least(rate, given) for rate in rates), default=0.0)
    bounds = [_most(each, given) for each in lengths]
    # Frames count where no parameter speaks of seconds, or where the input itself says how many.
    for each in frames:
        if not lengths or each.name in given or slowest:
            count = _most(each, given)
            bounds.append(count / slowest if count is not None and slowest else None)
    longest = [unbounded if bound is None else bound for bound in bounds]
    if parameters is None:  # nobody knows whether the model takes what the input names
        longest.append(unbounded)
        longest += [count / _FALLBACK_FRAME_RATE for each in frames if (count := _most(each, given))]
    typical = typical or SECONDS_GUESSED
    return typical, max(typical, *longest, 0.0) if longest else max(typical, unbounded)


def _requested_count(
    parameters: Sequence[Parameter] | None, given: Mapping[str, Any], *, unbounded: int
) -> Quantity | None:
    """What the parameters that count outputs say; None when there is none."""
    counts = _numbers_named(parameters, given, schema.OUTPUT_COUNT)
    if not counts:
        return None
    typical = float(max(int(_typical(counts[:1], given)), 1))
    most = 1.0
    for each in counts:  # a number of batches and their size: together they multiply
        bound = _most(each, given)
        most *= max(math.ceil(unbounded if bound is None else bound), 1)
    if parameters is None:
        most = max(most, float(unbounded))
    return Quantity(typical, max(typical, most))


def _numbers_named(
    parameters: Sequence[Parameter] | None, given: Mapping[str, Any], names: Sequence[str]
) -> list[Parameter]:
    """The parameters with these names, the most telling first; without a schema, those that the input has."""
    if parameters is None:
        return [Parameter(name, ParameterType.NUMBER) for name in names if name in given]
    return schema.find_parameters(parameters, names, schema.NUMERIC)


def _chosen(parameter: Parameter, given: Mapping[str, Any]) -> float | None:
    """The number that the run will use; None when the model chooses it."""
    number = schema.number_of(given.get(parameter.name, parameter.default))
    return min(number, _LARGEST) if number is not None and number > 0 else None


def _typical(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> float:
    return next((number for each in parameters if (number := _chosen(each, given)) is not None), 0.0)


def _most(parameter: Parameter, given: Mapping[str, Any]) -> float | None:
    """The largest number that it may come to; None when nothing says."""
    number = _chosen(parameter, given)
    if number is not None:
        return number
    if options := _options(parameter):
        return max(options)
    return parameter.maximum if parameter.maximum is not None and parameter.maximum > 0 else None


def _least(parameter: Parameter, given: Mapping[str, Any]) -> float:
    """The smallest number that it may come to; 0 when nothing says."""
    number = _chosen(parameter, given)
    if number is not None:
        return number
    return min(_options(parameter), default=max(parameter.minimum or 0.0, 0.0))


def _options(parameter: Parameter) -> list[float]:
    return [option for each in parameter.enum if (option := schema.number_of(each)) and option > 0]
