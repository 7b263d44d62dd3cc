"""Specifies a run of a model: what is sent to the provider, and which of its values are assets or secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.model_schema import Parameter, ParameterType


@dataclass(frozen=True)
class RunSpec:
    """A run as `PrepareInput` checks it, as catalog stores it with a generation, and as it is submitted.

    Args:
        model: `owner/name`.
        version: empty for an official model, which is run by its name.
        input: checked; assets are written `asset:<id>` until it is submitted.
        kind: what the model makes.
        deadline_s: seconds that the reserved money lasts for; 0: those of every run.
        secret_fields: keys of the input whose values the provider shows to nobody.
        asset_ids: the assets that the input refers to.
        job_id: of the job that the run is for; empty for none.
        campaign_id: likewise.
    """

    model: str
    version: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    kind: MediaKind = MediaKind.UNKNOWN
    deadline_s: float = 0.0
    secret_fields: tuple[str, ...] = ()
    asset_ids: tuple[str, ...] = ()
    job_id: str = ""
    campaign_id: str = ""


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
