"""Checks that the assets a request refers to exist, and reports those that do not by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.core.shared.domain import MediaKind, RunSpec
from catalog.core.unit_of_work import UnitOfWork
from servicekit.errors import FieldProblem, NotFound


async def asset_problem(
    unit: UnitOfWork, asset_id: str, kind: MediaKind | None = None, need: str = ""
) -> str:
    """Why the asset cannot be used, and the way out; empty when it exists, and is of the kind that is needed.

    `need`: what needs that kind, as a clause.
    """
    try:
        asset = await unit.assets.get(asset_id)
    except NotFound:
        return f"there is no asset {asset_id}: upload the file to /api/v3/assets first, or name another asset"
    return "" if kind in (None, asset.facts.kind) else f"asset {asset_id} is {asset.facts.kind}, and {need}"


async def reference_problems(
    unit: UnitOfWork, runs: Sequence[RunSpec], prefix: str = ""
) -> list[FieldProblem]:
    """The fields of the runs' inputs that refer to an asset which does not exist.

    Args:
        prefix: before each field, with `{}` for the number of its run: `requests[{}].`.
    """
    asset_ids = dict.fromkeys(asset_id for run in runs for asset_id in run.assets)
    missing = {each: problem for each in asset_ids if (problem := await asset_problem(unit, each))}
    return [
        FieldProblem(f"{prefix.format(number)}input.{name}", missing[asset_id])
        for number, run in enumerate(runs)
        for asset_id in run.assets
        if asset_id in missing
        for name, value in run.input.items()
        if _contains(value, f"asset:{asset_id}")
    ]


def _contains(value: Any, reference: str) -> bool:
    if isinstance(value, Mapping):
        return any(_contains(each, reference) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_contains(each, reference) for each in value)
    return bool(value == reference)
