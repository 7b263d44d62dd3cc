"""Writes tables into the documents: events, from the contracts; settings, from each config.py."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from events.contract import EVENT_TYPES
from rushes.common.v1 import event_pb2
from servicekit.config import describe

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- written by make docs -->", "<!-- end -->"
_MESSAGES = 4
"""Number of the field `message_type` in a FileDescriptorProto: it begins the path of a message's comment."""


def pages() -> Iterator[tuple[Path, str]]:
    """Each page that has a table, and the table as it should be."""
    yield ROOT / "docs/events.md", event_table()
    for folder in sorted((ROOT / "services").iterdir()):
        yield folder / "README.md", settings_table(folder.name)


def event_table() -> str:
    """One row for each event, in the order of the contracts."""
    comments = _comments()
    rows = []
    for name, each in EVENT_TYPES.items():
        rules = each.message.DESCRIPTOR.GetOptions().Extensions[event_pb2.event]
        rows.append(
            (
                f"`{name}`",
                comments[each.message.DESCRIPTOR.name],
                each.publisher,
                f"`{name}.{rules.key}`",
                f"`{rules.id}`",
                rules.used_by or "live events",
            )
        )
    return _table(("event", "means", "publisher", "subject", "id", "used by"), rows)


def settings_table(service: str) -> str:
    """One row for each setting of a service, in the order of its settings class."""
    settings = importlib.import_module(f"{service}.config").Settings
    rows = [
        (f"`{env}`", kind, default if default == "required" else f"`{default}`" if default else "", doc)
        for env, kind, default, doc in describe(settings)
    ]
    return _table(("setting", "type", "default", "meaning"), rows)


def fresh(page: str, table: str) -> str:
    """The page with this table. ValueError: it has no place for one."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} … {END}")
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _comments() -> dict[str, str]:
    """The comment over each event's message, by the message's name."""
    image = FileDescriptorSet.FromString((ROOT / "libs/contracts/rushes/contracts.binpb").read_bytes())
    file: FileDescriptorProto = next(f for f in image.file if f.name == "rushes/events/v1/events.proto")
    return {
        file.message_type[location.path[1]].name: " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if len(location.path) == 2 and location.path[0] == _MESSAGES
    }


def main() -> int:
    """Writes the tables, or with --check says which are not fresh."""
    check, stale = "--check" in sys.argv[1:], 0
    for path, table in pages():
        page = path.read_text()
        if (wanted := fresh(page, table)) == page:
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(ROOT)} is not fresh: run `make docs` and commit")
        else:
            path.write_text(wanted)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
