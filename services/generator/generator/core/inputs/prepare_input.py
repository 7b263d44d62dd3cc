"""The use case "prepare": what may be sent to a model and what it should cost, before it is promised."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from generator.core.inputs.domain import asset_references, input_validation
from generator.core.models.domain.media_kinds import Kind
from generator.core.models.domain.model_schema import Parameter
from generator.core.models.domain.prices import DEADLINES, PriceTable, cost, deadline, estimate, reserve
from generator.core.models.model_catalog import Listed, Shelf
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.ports import Work
from generator.core.scenes.domain import scene_to_input
from generator.core.scenes.domain.scene_to_input import Scene
from servicekit.errors import AppError, FieldProblem, Invalid, NotFound

_NAME = re.compile(r"([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)")


@dataclass(frozen=True)
class Prepared:
    """An input ready to be sent. `version` is empty for an official model; money in micro-dollars.

    `secrets` are the keys whose values must not be shown, `assets` the files that it refers to.
    `estimate_micros` is what the run should cost; `reserve_micros` the most it can, ended after `deadline_s`.
    """

    model: str
    version: str
    input: dict[str, Any]
    kind: Kind
    estimate_micros: int
    estimate_basis: str
    reserve_micros: int
    deadline_s: float
    secrets: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()


async def prepare(
    shelf: Shelf,
    prices: PriceTable,
    model: str,
    version: str,
    given: Mapping[str, Any] | Scene,
    *,
    longest: float = DEADLINES[1],
) -> Prepared:
    """Check and coerce an input (or fit a scene) for a model.

    `longest`: seconds after which every run is ended; the model's price may say sooner.

    Raises:
        Invalid: naming every field that is wrong, and the way out.
        NotFound: the provider has no such model.
    """
    owner, name = split(model)
    listed = await _find(shelf, owner, name)
    chosen = _version(listed, version)
    parameters = await _parameters(shelf, listed, version)
    raw = scene_to_input.fit(model, parameters, given) if isinstance(given, Scene) else given
    checked = input_validation.check(model, parameters, raw)
    price = prices.of(model, listed.kind)
    guess = estimate(price, model=model, parameters=parameters, given=checked)
    ends = deadline(price, longest)
    most = reserve(price, parameters=parameters, given=checked, deadline=ends)
    return Prepared(
        model,
        chosen,
        checked,
        listed.kind,
        guess.micros,
        guess.basis,
        most,
        ends,
        asset_references.secrets(parameters, checked),
        asset_references.assets(parameters, checked),
    )


def split(model: str) -> tuple[str, str]:
    """The owner and the name in `owner/name`; Invalid when it is none."""
    match = _NAME.fullmatch(model)
    if match is None:
        message = f"{model[:80]!r} is no model: write owner/name, such as google/veo-3-fast"
        raise Invalid(message, fields=[FieldProblem("model", message)])
    return match[1], match[2]


async def _find(shelf: Shelf, owner: str, name: str) -> Listed:
    try:
        return await shelf.model(owner, name)
    except NotFound as error:
        raise NotFound(error.message, fields=[FieldProblem("model", error.message)]) from error


def _version(listed: Listed, asked: str) -> str:
    """The version to run: none for an official model (model route), else the one asked or the newest."""
    if listed.model.official:
        if asked in ("", listed.model.version):
            return ""
        message = (
            f"{asked[:70]!r} cannot be chosen: {listed.model.full_name} is an official model, which runs "
            "in its newest version only; leave the version out"
        )
        raise Invalid(message, fields=[FieldProblem("version", message)])
    if asked or listed.model.version:
        return asked or listed.model.version
    message = f"{listed.model.full_name} has no version that could run; choose another model"
    raise Invalid(message, fields=[FieldProblem("model", message)])


async def _parameters(shelf: Shelf, listed: Listed, version: str) -> tuple[Parameter, ...] | None:
    model = listed.model
    try:
        return await shelf.parameters(model.owner, model.name, version)
    except NotFound as error:
        message = f"{version[:70]!r} is no version of {model.full_name}; leave it out for the newest" + (
            f" ({model.version[:12]}…)" if model.version else ""
        )
        raise Invalid(message, fields=[FieldProblem("version", message)]) from error


class Bills:
    """What finished runs have cost: a `Costs` from the price table and the provider's metrics."""

    def __init__(self, shelf: Shelf, prices: PriceTable) -> None:
        self._shelf = shelf
        self._prices = prices

    async def of(self, work: Work, prediction: Prediction | None) -> int:
        """Micro-dollars; the estimate where nobody can be asked any more."""
        price = self._prices.of(work.model, work.kind)
        owner, _, name = work.model.partition("/")
        try:
            parameters = await self._shelf.parameters(owner, name, work.version)
        except AppError:
            parameters = None  # only guesses of lengths need it; the cost must be told now
        if prediction is None:
            return estimate(price, model=work.model, parameters=parameters, given=work.input).micros
        return cost(price, prediction, parameters=parameters, given=work.input)
