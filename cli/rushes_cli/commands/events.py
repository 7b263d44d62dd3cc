"""`rushes events`: the event log, one line an event."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from rushes_cli import output
from rushes_cli.data_folder import DataFolder
from rushes_cli.rest_client import RestClient, connect

_IDS = (
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
    """Print events after a sequence, or from now on; without `follow` up to the one that is last now."""
    query = {name: value for name, value in (("job_id", job), ("types", types)) if value}
    start = after if after is not None else None if follow else 0
    async with connect(folder) as client:
        end = None if follow else await _end(client)
        if end is not None and start is not None and start >= end:
            return 0
        async with aclosing(client.events("/api/v3/events", after=start, **query)) as events:
            async for event in events:
                if event.data and (end is None or event.sequence <= end):
                    output.line(f"{event.sequence:>7}  {event.type:<26} {summary(event.data)}")
                if end is not None and event.sequence >= end:
                    break
    return 0


async def _end(client: RestClient) -> int:
    """The sequence of the last event: a stream without `after` begins there."""
    async with aclosing(client.events("/api/v3/events")) as events:
        return (await anext(events)).sequence


def summary(data: Mapping[str, Any]) -> str:
    """The data as `name=value` in a fixed order, ids last."""
    flat: dict[str, Any] = {}
    _flatten(data, flat)
    ids = {name: flat.pop(name) for name in _IDS if name in flat}
    shown = {**flat, **ids}
    return " ".join(
        f"{name}={value}" for name, value in shown.items() if value not in (None, "", 0, 0.0, [], {})
    )


def _flatten(data: Mapping[str, Any], into: dict[str, Any]) -> None:
    for name, value in data.items():
        if isinstance(value, Mapping):
            _flatten(value, into)
        else:
            into[name] = len(value) if isinstance(value, list) else value
