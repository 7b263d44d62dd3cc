"""The house keeps its shape: rooms where they belong, modules a reader can hold, documents that keep up."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from itertools import chain
from pathlib import Path

import grimp
import pytest

from rushes_cli import fingerprint
from tools.services import ROOT, SERVICES

SOURCES = sorted(
    path
    for root in (
        "libs/servicekit",
        "libs/events",
        "libs/mediakit",
        "services",
        "cli",
        "tools",
        "bench",
        "tests",
    )
    for path in (ROOT / root).rglob("*.py")
    if "migrations" not in path.parts and ".venv" not in path.parts
)
MODULES = [path for path in SOURCES if "tests" not in path.parts]

PACKAGES = ("servicekit", "events", "mediakit", "rushes_cli", *SERVICES)

LONGEST_MODULE = 600
LONG_FOR_A_REASON: dict[str, str] = {}
"""Modules over the limit, and why a reader accepts their length."""
MOST_MODULES = 12


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


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE
    }
    assert set(long) == set(LONG_FOR_A_REASON)


def test_no_folder_holds_more_modules_than_a_reader_can_survey() -> None:
    modules = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    assert not {str(f.relative_to(ROOT)): n for f, n in modules.items() if n > MOST_MODULES}


def test_a_running_stack_is_of_older_code_when_any_package_has_changed() -> None:
    assert set(fingerprint.PACKAGES) == {*PACKAGES, "rushes"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # What imports nothing but what was taken away before is in no circle; what remains in the end is.
    while free := {module for module, imported in imports.items() if not imported & imports.keys()}:
        imports = {module: imported for module, imported in imports.items() if module not in free}
    needed = {name for imported in imports.values() for name in imported}
    assert not {module for module in imports if module in needed}


def test_names_are_of_the_glossary() -> None:
    """No identifier holds a word of the glossary's last table."""
    table = (ROOT / "docs" / "glossary.md").read_text().partition("## Words that are not used")[2]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    unused = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(unused) > 20
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in _names(ast.parse(path.read_text())) | {path.stem}
        if unused & {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    }
    assert not found


def _names(tree: ast.AST) -> set[str]:
    """What the code of a module gives names to: classes, functions, arguments, attributes, variables."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name) | ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                names.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
    return names


@pytest.mark.parametrize("service", ["downloader", "stitcher"])
def test_a_service_with_child_processes_imports_servicekit_before_grpc(service: str) -> None:
    """servicekit sets what gRPC reads at its import: with gRPC's fork handlers the children crash."""
    order = f"import sys, {service}.__main__; print(*map([*sys.modules].index, ('grpc', 'servicekit')))"
    done = subprocess.run([sys.executable, "-c", order], capture_output=True, text=True, check=True)
    grpc, servicekit = map(int, done.stdout.split())
    assert servicekit < grpc


def test_every_module_says_what_it_is_responsible_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if path.read_text().strip() and not path.read_text().lstrip().startswith(('"""', "#!"))
    ]
    assert not silent


def test_every_dependency_has_its_line() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    own = {"servicekit", "rushes-workspace"}
    patterns = ("pyproject.toml", "cli/pyproject.toml", "*/*/pyproject.toml")
    for path in chain.from_iterable(map(ROOT.glob, patterns)):
        project = tomllib.loads(path.read_text())
        wanted = [
            *project["project"].get("dependencies", []),
            *chain.from_iterable(project["project"].get("optional-dependencies", {}).values()),
            *project.get("dependency-groups", {}).get("dev", []),
        ]
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
    folders = (".ci", "bench", "cli", "deploy", "docs", "libs", "protos", "services", "tests", "tools")
    return sorted(
        path
        for path in [*ROOT.iterdir(), *(path for folder in folders for path in (ROOT / folder).rglob("*"))]
        if path.is_file()
        and (path.suffix in (".md", ".py", ".proto", ".toml", ".yaml", "") or path.name == ".gitignore")
        and not {"__pycache__", ".venv", ".git"} & set(path.parts)
    )


def _without_addresses(text: str) -> str:
    """The text without addresses of the web: documents of others."""
    return re.sub(r"https?://\S+", "", text)
