"""`rushes storage`: what the stored files take, clearing out what is old, and what the store lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rushes_cli import view
from rushes_cli.commands.up import connect
from rushes_cli.contents import Damaged, damaged
from rushes_cli.folder import DataFolder
from rushes_cli.rest import RestClient

_ADMIN = "/api/v3/admin/storage"
_NEWEST = 10
"""Files that are shown of all."""


async def storage(folder: DataFolder) -> int:
    """Show what is stored, in numbers, and the newest files."""
    async with connect(folder) as client:
        view.show_storage(await client.get(f"{_ADMIN}/stats", page_size=_NEWEST))
    return 0


async def cleanup(folder: DataFolder, *, days: int, dry_run: bool) -> int:
    """Delete what ended more than so many days ago, or only say what that would be."""
    async with connect(folder) as client:
        done = await _all(client, {"older_than_days": days, "dry_run": dry_run})
    view.show_cleanup(done, days)
    return 0


async def check(folder: DataFolder, *, content: bool) -> int:
    """Show records whose blob is missing, and blobs that no record names. 1 when something is missing.

    With `content`: also those whose bytes are not what they were.
    """
    changed: list[Damaged] = []
    async with connect(folder) as client:
        missing = await _pages(client, f"{_ADMIN}/missing")
        unneeded = await _pages(client, f"{_ADMIN}/unneeded")
        if content:
            with view.busy("Reading every file …"):
                changed = await damaged(client)
    view.show_check(missing, unneeded, changed)
    return 1 if missing or changed else 0


async def _pages(client: RestClient, path: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    token = ""
    while True:
        page = await client.get(path, page_token=token)
        found += page["blobs"]
        token = page["next_page_token"]
        if not token:
            return found


async def _all(client: RestClient, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Ask until nothing is left: one answer tells of what fits into a bounded time."""
    done: dict[str, Any] = {}
    while True:
        more = await client.post(f"{_ADMIN}/cleanup", wish)
        done = added(done, more) if done else more
        if not more["more"]:
            return done


def added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two answers of a clean-up as one."""
    kinds = {
        kind: {
            name: sum(each["by_kind"].get(kind, {}).get(name, 0) for each in (one, other))
            for name in ("count", "size_bytes")
        }
        for kind in [*one["by_kind"], *(kind for kind in other["by_kind"] if kind not in one["by_kind"])]
    }
    counts = {name: one[name] + other[name] for name in ("generations", "files", "size_bytes")}
    return {**other, **counts, "by_kind": kinds, "ids": [*one["ids"], *other["ids"]]}
