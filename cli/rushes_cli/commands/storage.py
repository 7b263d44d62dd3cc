"""`rushes storage`: shows what is stored, deletes what is old, compares the store with the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rushes_cli import output
from rushes_cli.data_folder import DataFolder
from rushes_cli.rest_client import RestClient, connect
from rushes_cli.verify_content import DamagedFile, find_damaged

_ADMIN = "/api/v3/admin/storage"
_NEWEST = 10
"""Files that are listed."""


async def storage(folder: DataFolder) -> int:
    async with connect(folder) as client:
        output.show_storage(await client.get(f"{_ADMIN}/stats", page_size=_NEWEST))
    return 0


async def cleanup(folder: DataFolder, *, days: int, dry_run: bool) -> int:
    """Delete what ended more than `days` ago. `dry_run`: only show it."""
    async with connect(folder) as client:
        done = await _repeat_cleanup(client, {"older_than_days": days, "dry_run": dry_run})
    output.show_cleanup(done, days)
    return 0


async def check(folder: DataFolder, *, content: bool) -> int:
    """Show missing blobs, orphans, and with `content` changed bytes. Returns 1 for missing or changed."""
    changed: list[DamagedFile] = []
    async with connect(folder) as client:
        missing = await _blobs(client, f"{_ADMIN}/missing")
        unneeded = await _blobs(client, f"{_ADMIN}/unneeded")
        if content:
            with output.busy("Reading every file …"):
                changed = await find_damaged(client)
    output.show_check(missing, unneeded, changed)
    return 1 if missing or changed else 0


async def _blobs(client: RestClient, path: str) -> list[Mapping[str, Any]]:
    return [blob async for page in client.pages(path) for blob in page["blobs"]]


async def _repeat_cleanup(client: RestClient, request: Mapping[str, Any]) -> dict[str, Any]:
    """Request until nothing is left: one request deletes what it can in a bounded time."""
    done: dict[str, Any] = {}
    while True:
        more = await client.post(f"{_ADMIN}/cleanup", request)
        done = sum_of(done, more) if done else more
        if not more["more"]:
            return done


def sum_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {
        kind: {
            name: sum(each["by_kind"].get(kind, {}).get(name, 0) for each in (one, other))
            for name in ("count", "size_bytes")
        }
        for kind in [*one["by_kind"], *(kind for kind in other["by_kind"] if kind not in one["by_kind"])]
    }
    counts = {name: one[name] + other[name] for name in ("generations", "files", "size_bytes")}
    return {**other, **counts, "by_kind": kinds, "ids": [*one["ids"], *other["ids"]]}
