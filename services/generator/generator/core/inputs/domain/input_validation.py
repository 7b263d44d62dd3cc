"""Checks an input against a model's parameters before money is spent, and converts its values to their types.

A number written as text goes out as a number, `5.0` as `5`; an unknown key is an error (the provider drops it
silently, and the run costs all the same); nulls are left out. All problems are reported at once, by field.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from generator.core.inputs.domain.run_spec import referenced_asset
from generator.core.models.domain.model_schema import Parameter, ParameterType
from servicekit.errors import FieldProblem, Invalid

LONGEST_TEXT = 200_000
"""Characters of a text for which the model names no limit: more is a mistake, or a misplaced file."""

LONGEST_INLINE = 350_000
"""Characters of a `data:` address: 256 kB of bytes (the provider's advice) in base 64."""

_SHOWN_CHARACTERS = 60
_EXACT_BELOW = 2**53  # a float holds every whole number up to here

_WHOLE_NUMBER = re.compile(r"\s*[+-]?\d{1,18}(\.0*)?\s*")
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_FILE_ADDRESS = re.compile(r"https?://\S+|data:[^,\s]*,", re.IGNORECASE)


class _MisfitError(Exception):
    """Why a value does not fit; it never leaves this module."""


def check_input(
    model: str, parameters: Sequence[Parameter] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The input as it may be sent.

    Args:
        model: `owner/name`, for the errors.
        parameters: of the model; None when it publishes no schema: any JSON object is passed on.
        given: the input, numbers perhaps all floats.

    Raises:
        Invalid: with a `FieldProblem` ("input.<name>") for everything that is wrong.
    """
    present = {name: value for name, value in given.items() if value is not None}
    if parameters is None:
        return {name: whole_numbers(value) for name, value in present.items()}
    by_name = {parameter.name: parameter for parameter in parameters}
    problems = [
        FieldProblem(f"input.{name}", _unknown_parameter(name, model, by_name))
        for name in present
        if name not in by_name
    ]
    checked: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.name in present:
            try:
                checked[parameter.name] = _coerce(parameter, present[parameter.name])
            except _MisfitError as misfit:
                problems.append(FieldProblem(f"input.{parameter.name}", str(misfit)))
        elif parameter.required:
            problems.append(
                FieldProblem(f"input.{parameter.name}", f"is required by {model}: give it a value")
            )
    if problems:
        shown = "; ".join(f"{problem.field} {problem.message}" for problem in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise Invalid(f"{model} cannot run with this input: {shown}{more}", fields=problems)
    return checked


def whole_numbers(value: Any) -> Any:
    """The value with every whole float as an integer: a `Struct` holds each number as a double."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_BELOW:
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole_numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [whole_numbers(each) for each in value]
    return value


def _coerce(parameter: Parameter, value: Any) -> Any:
    """The value as the parameter takes it; `_MisfitError` when it does not fit."""
    if parameter.variants:
        return _union(parameter, value)
    if parameter.enum:
        return _choice(parameter, value)
    coerced = _BY_TYPE[parameter.type](parameter, value)
    for problem in _limit_problems(parameter, coerced):
        raise _MisfitError(problem)
    return coerced


def _union(parameter: Parameter, value: Any) -> Any:
    """The first shape that takes the value as it is, else the first that takes it coerced."""
    accepted: list[Any] = []
    problems: list[str] = []
    for variant in parameter.variants:
        try:
            accepted.append(_coerce(variant, value))
        except _MisfitError as misfit:
            problems.append(str(misfit))
    for coerced in accepted:
        if coerced == value and isinstance(coerced, bool) == isinstance(value, bool):
            return coerced
    if accepted:
        return accepted[0]
    raise _MisfitError(" or ".join(dict.fromkeys(problems)))


def _choice(parameter: Parameter, value: Any) -> Any:
    written = _written(value)
    for option in parameter.enum:
        if _written(option) == written:
            return option
    if isinstance(value, str):
        for option in parameter.enum:
            if _written(option).lower() == written.strip().lower():
                return option
    raise _MisfitError(
        f"must be one of {', '.join(map(_written, parameter.enum))}, and is {_show(parameter, value)}"
    )


def _integer(parameter: Parameter, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value.strip().partition(".")[0])
    raise _MisfitError(f"must be a whole number, and is {_show(parameter, value)}")


def _number(parameter: Parameter, value: Any) -> float:
    number: Any = value
    if isinstance(value, str) and len(value) < _SHOWN_CHARACTERS and "_" not in value:
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise _MisfitError(f"must be a number, and is {_show(parameter, value)}")
    return whole_numbers(number) if isinstance(value, str) else number


def _boolean(parameter: Parameter, value: Any) -> bool:
    boolean = (
        _BOOLEANS.get(_written(value).strip().lower())
        if isinstance(value, bool | int | float | str)
        else None
    )
    if boolean is None:
        raise _MisfitError(f"must be true or false, and is {_show(parameter, value)}")
    return boolean


def _string(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise _MisfitError(f"must be text, and is {_show(parameter, value)}")
    return value


def _file(parameter: Parameter, value: Any) -> str:
    if not isinstance(value, str) or not (_FILE_ADDRESS.match(value) or referenced_asset(value)):
        raise _MisfitError(
            "must be a file: an https:// address, a data: address or asset:<id>, "
            f"and is {_show(parameter, value)}"
        )
    if value.startswith("data:") and len(value) > LONGEST_INLINE:
        raise _MisfitError(
            f"is {len(value):,} characters of inlined file; above 256 kB make it an asset: asset:<id>"
        )
    return value


def _array(parameter: Parameter, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise _MisfitError(f"must be a list, and is {_show(parameter, value)}")
    if parameter.items is None:
        return [whole_numbers(each) for each in value]
    coerced: list[Any] = []
    for place, each in enumerate(value):
        try:
            coerced.append(_coerce(parameter.items, each))
        except _MisfitError as misfit:
            raise _MisfitError(f"item {place} {misfit}") from None
    return coerced


def _object(parameter: Parameter, value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _MisfitError(f"must be an object, and is {_show(parameter, value)}")
    return whole_numbers(value)


def _any(_: Parameter, value: Any) -> Any:
    return whole_numbers(value)


_BY_TYPE: dict[ParameterType, Callable[[Parameter, Any], Any]] = {
    ParameterType.STRING: _string,
    ParameterType.INTEGER: _integer,
    ParameterType.NUMBER: _number,
    ParameterType.BOOLEAN: _boolean,
    ParameterType.FILE: _file,
    ParameterType.ARRAY: _array,
    ParameterType.OBJECT: _object,
    ParameterType.ANY: _any,
}


def _limit_problems(parameter: Parameter, value: Any) -> Iterator[str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if parameter.minimum is not None and value < parameter.minimum:
            yield f"must be at least {parameter.minimum:g}, and is {_show(parameter, value)}"
        if parameter.maximum is not None and value > parameter.maximum:
            yield f"must be at most {parameter.maximum:g}, and is {_show(parameter, value)}"
    if isinstance(value, str) and parameter.type is not ParameterType.FILE:
        yield from _text_limit_problems(parameter, value)


def _text_limit_problems(parameter: Parameter, value: str) -> Iterator[str]:
    longest = LONGEST_TEXT if parameter.max_length is None else parameter.max_length
    if len(value) > longest:
        yield f"must be at most {longest:,} characters, and is {len(value):,}: shorten it"
    elif parameter.min_length is not None and len(value) < parameter.min_length:
        yield f"must be at least {parameter.min_length} characters, and is {len(value)}"
    elif parameter.pattern and not _matches(parameter.pattern, value):
        yield f"must match {parameter.pattern}, and is {_show(parameter, value)}"


def _matches(pattern: str, value: str) -> bool:
    """Whether the pattern is found. One that Python cannot read, or a long text, counts as matched."""
    try:
        return len(value) > 1000 or re.search(pattern, value) is not None
    except re.error:
        return True


def _unknown_parameter(name: str, model: str, by_name: Mapping[str, Parameter]) -> str:
    near = difflib.get_close_matches(name.lower(), [each.lower() for each in by_name], n=1, cutoff=0.5)
    hint = next((f'; did you mean "{each}"?' for each in by_name if near and each.lower() == near[0]), "")
    return f"is no parameter of {model}{hint or '.'} It takes {', '.join(by_name) or 'none'}"


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    value = whole_numbers(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _show(parameter: Parameter, value: Any) -> str:
    if parameter.secret:
        return "a secret that is not shown"
    text = json.dumps(whole_numbers(value), ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
