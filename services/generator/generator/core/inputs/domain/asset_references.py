"""Finds the values of an input that refer to assets, `asset:<id>`, and the fields that are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from generator.core.models.domain.model_schema import Parameter, ParameterType

_REFERENCE = re.compile(r"asset:(ast_[0-9A-Z]{26})")


def referenced_asset(value: Any) -> str:
    """The asset that a value refers to; empty for any other value, such as a text that begins like one."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else ""


def referenced_assets(parameters: Sequence[Parameter] | None, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The assets that an input refers to: in files, and where the model does not say what it takes.

    Args:
        parameters: of the model; None when it publishes no schema.
        given: the checked input.
    """
    if parameters is None:
        return tuple(dict.fromkeys(_anywhere(given)))
    named = (
        each
        for parameter in parameters
        if parameter.name in given
        for each in _in_parameter(parameter, given[parameter.name])
    )
    return tuple(dict.fromkeys(named))


def secret_fields(parameters: Sequence[Parameter] | None, given: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of an input whose values must never be shown or logged."""
    return tuple(each.name for each in parameters or () if each.secret and each.name in given)


def _in_parameter(parameter: Parameter, value: Any) -> Iterator[str]:
    if parameter.variants:
        for variant in parameter.variants:
            yield from _in_parameter(variant, value)
    elif parameter.type is ParameterType.ARRAY and parameter.items is not None:
        for each in value if isinstance(value, list) else ():
            yield from _in_parameter(parameter.items, each)
    elif parameter.type in (ParameterType.FILE, ParameterType.ARRAY, ParameterType.OBJECT, ParameterType.ANY):
        yield from _anywhere(value)


def _anywhere(value: Any) -> Iterator[str]:
    if found := referenced_asset(value):
        yield found
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        yield from _anywhere(part)
