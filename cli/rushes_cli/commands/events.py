"""`rushes events`: the event log, one readable line a fact."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from rushes_cli import view
from rushes_cli.commands.up import connect
from rushes_cli.folder import DataFolder
from rushes_cli.rest import RestClient

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
    """Print facts as they are, from a sequence on or from now; without `follow` up to the last one now."""
    query = {name: value for name, value in (("job_id", job), ("types", types)) if value}
    start = after if after is not None else None if follow else 0
    async with connect(folder) as client:
        end = None if follow else await _end(client)
        if end is not None and start is not None and start >= end:
            return 0
        async with aclosing(client.facts("/api/v3/events", after=start, **query)) as facts:
            async for fact in facts:
                if fact.data and (end is None or fact.sequence <= end):
                    line = f"{fact.sequence:>7}  {fact.type:<26} {words(fact.data)}"
                    view.console.print(line, highlight=False, markup=False, soft_wrap=True)
                if end is not None and fact.sequence >= end:
                    break
    return 0


async def _end(client: RestClient) -> int:
    """The sequence of the log's last fact: where a stream of what is new begins."""
    async with aclosing(client.facts("/api/v3/events")) as facts:
        return (await anext(facts)).sequence


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
