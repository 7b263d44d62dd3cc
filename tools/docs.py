"""Writes what is read from the code or from one list: tables, ConfigMaps, alert rules, the dashboard."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from events.contract import EVENT_TYPES
from rushes.common.v1 import event_pb2
from servicekit.config import describe
from tools import metrics, monitoring
from tools.services import ROOT, SERVICES

KUBERNETES = ROOT / "deploy/k8s"
BEGIN, END = "<!-- written by make docs -->", "<!-- end -->"
_MESSAGES = 4
"""Number of the field `message_type` in a FileDescriptorProto: it begins the path of a message's comment."""


def pages() -> Iterator[tuple[Path, str]]:
    """Each file that is written here, and what it should be."""
    yield with_table(ROOT / "docs/events.md", event_table())
    yield with_table(ROOT / "docs/metrics.md", metric_tables())
    yield from monitoring.written()
    in_cluster = cluster_settings()
    for name in SERVICES:
        yield with_table(ROOT / "services" / name / "README.md", settings_table(name))
        kind = "base" if (KUBERNETES / "base" / name).exists() else "components"
        yield KUBERNETES / kind / name / "settings.env", settings_env(name, in_cluster)


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


def metric_tables() -> str:
    """One row for each metric, by name; then one for each label."""
    everywhere = len(SERVICES)
    rows = [
        (
            f"`{each.name}`",
            each.type,
            " ".join(f"`{label}`" for label in each.labels),
            each.help,
            "all" if len(each.services) == everywhere else ", ".join(each.services),
        )
        for each in metrics.metric_families()
    ]
    labels = [(f"`{name}`", values) for name, values in sorted(metrics.LABELS.items())]
    return "\n".join(
        (
            _table(("metric", "type", "labels", "means", "in"), rows),
            "",
            "## Labels",
            "",
            _table(("label", "its values"), labels),
        )
    )


def settings_table(service: str) -> str:
    """One row for each setting of a service, in the order of its settings class."""
    settings = importlib.import_module(f"{service}.config").Settings
    rows = [
        (f"`{env}`", kind, default if default == "required" else f"`{default}`" if default else "", doc)
        for env, kind, default, doc, _ in describe(settings)
    ]
    return _table(("setting", "type", "default", "meaning"), rows)


def cluster_settings() -> dict[str, str]:
    """What a setting is in a cluster, where that is not its default."""
    lines = (KUBERNETES / "cluster-settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def settings_env(service: str, in_cluster: Mapping[str, str]) -> str:
    """The env file of a service's ConfigMap: every setting but the secret ones, each with its meaning."""
    settings = importlib.import_module(f"{service}.config").Settings
    lines = ["# Written by `make docs`, from the service's settings and cluster-settings.env."]
    for each in describe(settings):
        if not each.secret:
            default = "" if each.default == "required" else each.default
            lines += [f"# {each.doc}", f"{each.env}={in_cluster.get(each.env, default)}"]
    return "\n".join(lines) + "\n"


def with_table(path: Path, table: str) -> tuple[Path, str]:
    """The page, and what it is with this table. ValueError: it has no place for one."""
    head, begin, rest = path.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for a table: write {BEGIN} and {END} where it belongs")
    return path, f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"


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
    for path, wanted in pages():
        if path.exists() and path.read_text() == wanted:
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(ROOT)} is not fresh: run `make docs` and commit")
        else:
            path.write_text(wanted)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
