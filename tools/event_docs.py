"""Writes the table of events in docs/events.md from the options and comments of the contracts."""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from events.contract import EVENT_TYPES
from rushes.common.v1 import event_pb2

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "events.md"
BEGIN, END = "<!-- from the contracts: make protos -->", "<!-- end -->"
_MESSAGES = 4
"""Number of the field `message_type` in a FileDescriptorProto: it begins the path of a message's comment."""


def table() -> str:
    """The table, one row for each event, in the order of the contracts."""
    comments = _comments()
    lines = [
        "| event | means | publisher | subject | id | used by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in EVENT_TYPES.items():
        rules = each.message.DESCRIPTOR.GetOptions().Extensions[event_pb2.event]
        cells = (
            f"`{name}`",
            comments[each.message.DESCRIPTOR.name],
            each.publisher,
            f"`{name}.{rules.key}`".replace("|", "\\|"),
            f"`{rules.id}`".replace("|", "\\|"),
            rules.used_by or "live events",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _comments() -> dict[str, str]:
    """The comment over each message, by the message's name."""
    image = FileDescriptorSet.FromString((ROOT / "libs/contracts/rushes/contracts.binpb").read_bytes())
    file: FileDescriptorProto = next(f for f in image.file if f.name == "rushes/events/v1/events.proto")
    return {
        file.message_type[location.path[1]].name: " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
        if len(location.path) == 2 and location.path[0] == _MESSAGES
    }


def main() -> int:
    """Writes the table, or with --check says that it is not fresh."""
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    fresh = f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(fresh)
    elif fresh != page:
        print(f"{PAGE.relative_to(ROOT)} is not fresh: run `make protos` and commit")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
