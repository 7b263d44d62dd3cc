"""The assets that a request names: whether they are there, told by field before anything is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from catalog.core.shared.ports import Unit
from catalog.core.shared.values import RunSpec
from servicekit.errors import FieldProblem, NotFound


async def problem_with(unit: Unit, asset_id: str) -> str:
    """Why the asset cannot be used, and the way out; empty when it is there."""
    try:
        await unit.assets.get(asset_id)
    except NotFound:
        return f"there is no asset {asset_id}: upload the file to /api/v3/assets first, or name another asset"
    return ""


async def problems_of(unit: Unit, runs: Sequence[RunSpec], prefix: str = "") -> list[FieldProblem]:
    """The fields of the runs' inputs that name an asset which is not there.

    Args:
        prefix: before each field, with `{}` for the number of its run: `requests[{}].`.
    """
    named = dict.fromkeys(asset_id for run in runs for asset_id in run.assets)
    missing = {each: told for each in named if (told := await problem_with(unit, each))}
    return [
        FieldProblem(f"{prefix.format(number)}input.{name}", missing[asset_id])
        for number, run in enumerate(runs)
        for asset_id in run.assets
        if asset_id in missing
        for name, value in run.input.items()
        if _names(value, f"asset:{asset_id}")
    ]


def _names(value: Any, reference: str) -> bool:
    if isinstance(value, Mapping):
        return any(_names(each, reference) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_names(each, reference) for each in value)
    return bool(value == reference)
