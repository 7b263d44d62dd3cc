"""`rushes events`: the event log, one readable line a fact."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from rushes_cli import view
from rushes_cli.commands.up import connect
from rushes_cli.folder import DataFolder

_QUIET = 1.5
"""Seconds without a fact after which the past is taken to be read to its end."""
_REFS = (
    "client_id",
    "campaign_id",
    "job_id",
    "generation_id",
    "attempt_id",
    "prediction_id",
    "asset_id",
    "media_id",
)


async def events(folder: DataFolder, *, job: str, types: str, after: int | None, follow: bool) -> int:
    """Print facts as they are, from a sequence on or from now."""
    query = {name: value for name, value in (("job_id", job), ("types", types)) if value}
    start = after if after is not None else None if follow else 0
    async with connect(folder) as client:
        facts = client.facts("/api/v3/events", after=None if start is None else str(start), **query)
        while True:
            try:
                fact = await asyncio.wait_for(anext(facts), None if follow else _QUIET)
            except (StopAsyncIteration, TimeoutError):
                return 0
            if not fact.data:  # the stream's own opening, which tells where it stands
                continue
            line = f"{fact.sequence:>7}  {fact.type:<26} {words(fact.data)}"
            view.console.print(line, highlight=False, markup=False, soft_wrap=True)


def words(data: Mapping[str, Any]) -> str:
    """What a fact says and speaks of, as `name=value` in a steady order, ids last."""
    flat: dict[str, Any] = {}
    _flatten(data, flat)
    ids = {name: flat.pop(name) for name in _REFS if name in flat}
    told = {**flat, **ids}
    return " ".join(
        f"{name}={value}" for name, value in told.items() if value not in (None, "", 0, 0.0, [], {})
    )


def _flatten(data: Mapping[str, Any], into: dict[str, Any]) -> None:
    for name, value in data.items():
        if isinstance(value, Mapping):
            _flatten(value, into)
        else:
            into[name] = len(value) if isinstance(value, list) else value
