"""The house keeps its shape: rooms where they belong, modules a reader can hold, documents that keep up."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from rushes.events.v1 import events_pb2

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(p.name for p in (ROOT / "services").iterdir() if (p / "pyproject.toml").exists())
MODULES = sorted(
    path
    for root in ("libs/servicekit/servicekit", "services", "cli/rushes_cli", "tools")
    for path in (ROOT / root).rglob("*.py")
    if "tests" not in path.parts and "migrations" not in path.parts and ".venv" not in path.parts
)
LONGEST_MODULE = 400


def subjects() -> list[str]:
    """Every fact of the contracts as its subject begins: `job.created`."""
    carried = {"PredictionRef", "Output", "EditClip", "EditMusic"}  # parts of facts, not facts
    words = [
        re.findall(r"[A-Z][a-z]*", name)
        for name in events_pb2.DESCRIPTOR.message_types_by_name
        if name not in carried
    ]
    return [f"{entity.lower()}.{'_'.join(word.lower() for word in rest)}" for entity, *rest in words]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_rooms(service: str) -> None:
    home = ROOT / "services" / service
    for room in (
        "README.md",
        f"{service}/__main__.py",
        f"{service}/main.py",
        f"{service}/config.py",
        "tests",
    ):
        assert (home / room).exists(), f"{service} has no {room}"
    assert len((home / service / "__main__.py").read_text().splitlines()) <= 15, "__main__ only calls main"
    assert len((home / service / "main.py").read_text().splitlines()) <= 160, (
        "a composition root is about a page"
    )


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_every_module_says_what_it_is_responsible_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if path.read_text().strip() and not path.read_text().lstrip().startswith(('"""', "#!"))
    ]
    assert not silent


def test_every_fact_stands_in_the_page_of_events() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    for subject in subjects():
        assert f"`{subject}`" in page, f"docs/events.md does not tell of {subject}"


def test_every_dependency_has_its_line() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    own = {"servicekit", "rushes-workspace"}
    members = (path for pattern in ("libs/*", "services/*", "cli") for path in ROOT.glob(pattern))
    for path in [ROOT / "pyproject.toml", *(member / "pyproject.toml" for member in members)]:
        told = tomllib.loads(path.read_text())
        wanted = told["project"].get("dependencies", []) + told.get("dependency-groups", {}).get("dev", [])
        for each in wanted:
            name = re.split(r"[\[<>=~!]", each)[0]
            if name not in own and not name.startswith("rushes-"):
                assert f"`{name}`" in page, (
                    f"docs/dependencies.md has no line for {name} ({path.relative_to(ROOT)})"
                )


def test_nothing_speaks_of_the_machine_it_was_written_on() -> None:
    machine = re.compile(r"/(?:root|home|work)/(?!<)")
    found = {
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in texts()
        for line in path.read_text().splitlines()
        if machine.search(line) and "re.compile" not in line
    }
    assert not found


def test_documents_that_are_named_are_there() -> None:
    documents = {path.name for path in texts() if path.suffix == ".md"}
    dangling = {
        f"{path.relative_to(ROOT)} names {name}"
        for path in texts()
        for name in re.findall(r"(?<![\w/.-])[\w./-]*\w\.md\b", _without_addresses(path.read_text()))
        if Path(name).name not in documents
    }
    assert not dangling


def texts() -> list[Path]:
    """Every text that is ours: code, contracts, documents, settings of tools."""
    folders = (".ci", "bench", "cli", "docs", "libs", "protos", "services", "tests", "tools")
    return sorted(
        path
        for path in [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
        if path.is_file()
        and (path.suffix in (".md", ".py", ".proto", ".toml", ".yaml", "") or path.name == ".gitignore")
        and not {"__pycache__", ".venv"} & set(path.parts)
    )


def _without_addresses(text: str) -> str:
    """The text without addresses of the web: documents of others."""
    return re.sub(r"https?://\S+", "", text)
