"""The use case "prepare input": what may be sent to a model, and what its run should and can cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.core.inputs.domain.input_validation import check_input
from generator.core.inputs.domain.run_spec import RunSpec, referenced_assets, secret_fields
from generator.core.models.domain.model_schema import Parameter
from generator.core.models.domain.prices import (
    DEADLINES,
    Estimate,
    PriceTable,
    estimate,
    reserve,
    run_deadline,
)
from generator.core.models.model_catalog import Model, ModelCatalog
from generator.core.scenes.domain.scene_to_input import SceneInput, fit_scene
from servicekit.errors import FieldProblem, Invalid, NotFound

_NAME = re.compile(r"([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class PricedRun:
    """A run with what it should cost, and the most that it can cost, in micro-dollars."""

    spec: RunSpec
    estimate: Estimate
    reserve_micros: int


async def prepare_input(
    catalog: ModelCatalog,
    prices: PriceTable,
    model: str,
    version: str,
    given: Mapping[str, Any] | SceneInput,
    *,
    longest: float = DEADLINES[1],
) -> PricedRun:
    """Check and convert an input (or fit a scene) for a model, and price its run.

    `longest`: seconds after which every run is ended; the model's price may set an earlier deadline.

    Raises:
        Invalid: naming every field that is wrong, and the way out.
        NotFound: the provider has no such model.
        Unavailable: what the model makes, and so what it costs, cannot be read now.
    """
    owner, name = _split_name(model)
    found = await _find(catalog, owner, name)
    runnable = _runnable_version(found, version)
    parameters = await _parameters(catalog, found, version)
    raw = fit_scene(model, parameters, given) if isinstance(given, SceneInput) else given
    checked = check_input(model, parameters, raw)
    kind = await catalog.kind_of(found)
    price = prices.price_of(model, kind)
    deadline = run_deadline(price, longest)
    secrets, assets = secret_fields(parameters, checked), referenced_assets(parameters, checked)
    return PricedRun(
        RunSpec(model, runnable, checked, kind, deadline, secrets, assets),
        estimate(price, model=model, parameters=parameters, given=checked),
        reserve(price, parameters=parameters, given=checked, deadline=deadline),
    )


def _split_name(model: str) -> tuple[str, str]:
    match = _NAME.fullmatch(model)
    if match is None:
        message = f"{model[:80]!r} is no model: write owner/name, such as google/veo-3-fast"
        raise Invalid.field("model", message, sentence=message)
    return match[1], match[2]


async def _find(catalog: ModelCatalog, owner: str, name: str) -> Model:
    try:
        return await catalog.model(owner, name)
    except NotFound as error:
        raise NotFound(error.message, fields=[FieldProblem("model", error.message)]) from error


def _runnable_version(model: Model, requested: str) -> str:
    """The version to run: none for an official model (model route), else the requested or the newest one."""
    if model.official:
        if requested in ("", model.version):
            return ""
        message = (
            f"{requested[:70]!r} cannot be chosen: {model.full_name} is an official model, which runs "
            "in its newest version only; leave the version out"
        )
        raise Invalid.field("version", message, sentence=message)
    if requested or model.version:
        return requested or model.version
    message = f"{model.full_name} has no version that could run; choose another model"
    raise Invalid.field("model", message, sentence=message)


async def _parameters(catalog: ModelCatalog, model: Model, version: str) -> tuple[Parameter, ...] | None:
    try:
        return await catalog.parameters(model.owner, model.name, version)
    except NotFound as error:
        message = f"{version[:70]!r} is no version of {model.full_name}; leave it out for the newest" + (
            f" ({model.version[:12]}…)" if model.version else ""
        )
        raise Invalid.field("version", message, sentence=message) from error
