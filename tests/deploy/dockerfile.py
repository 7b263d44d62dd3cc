"""Reads a Dockerfile, and does in an empty folder what it does to make an environment: copies and syncs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stage:
    """One FROM and what follows it: pairs of an instruction and its text, in order."""

    base: str
    instructions: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [text for name, text in self.instructions if name == instruction]


@dataclass(frozen=True)
class Dockerfile:
    """The arguments before the first stage with their defaults, and the stages by name ("" for none)."""

    arguments: dict[str, str]
    stages: dict[str, Stage]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        arguments: dict[str, str] = {}
        stages: dict[str, Stage] = {}
        name = None
        for instruction, text in _instructions(path.read_text()):
            if instruction == "FROM":
                base, _, name = text.partition(" AS ")
                stages[name] = Stage(base, ())
            elif name is None:
                arguments |= dict([text.split("=", 1)])
            else:
                stage = stages[name]
                stages[name] = Stage(stage.base, (*stage.instructions, (instruction, text)))
        return cls(arguments, stages)

    def chain(self, name: str) -> list[Stage]:
        """The stage and those that it is built on, the first one first."""
        stage = self.stages[name]
        return [*(self.chain(stage.base) if stage.base in self.stages else ()), stage]


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", "").splitlines():
        if line:
            instruction, _, rest = line.partition(" ")
            yield instruction, re.sub(r"\s+", " ", rest.strip())


class EmptyMachine:
    """A folder in which the copies and syncs of stages are done, and nothing else of them.

    Attributes:
        app: the environment that the syncs make.
    """

    def __init__(self, folder: Path) -> None:
        self._sources = folder / "src"
        self.app = folder / "app"
        self._context = set(_context())

    def build(self, stages: list[Stage]) -> Iterator[frozenset[str]]:
        """Do what the stages say, and yield after each sync the files of the environment."""
        for stage in stages:
            for instruction, text in stage.instructions:
                if instruction == "COPY" and not text.startswith("--"):
                    self._copy(*text.split(" "))
                elif instruction == "RUN" and (sync := re.search(r"uv sync [^&]*", text)):
                    self._sync(sync[0])
                    yield frozenset(str(p.relative_to(self.app)) for p in self.app.rglob("*") if p.is_file())

    def _copy(self, *paths: str) -> None:
        *sources, target = paths
        into = self._sources / target
        for source in sources:
            files = [path for path in self._context if path == Path(source) or Path(source) in path.parents]
            assert files, f"COPY {source}: .dockerignore keeps it out, or it is not there"
            for path in files:
                here = into / path.name if path == Path(source) else into / path.relative_to(source)
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, here)

    def _sync(self, command: str) -> None:
        done = subprocess.run(
            command.split(), cwd=self._sources, capture_output=True, text=True, check=False,
            env={
                **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "UV_PROJECT_ENVIRONMENT": str(self.app),
                "UV_PYTHON": sys.executable,
            },
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def _context() -> Iterator[Path]:
    """The files that .dockerignore lets into a build."""
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    into = [line.removeprefix("!") for line in lines if line.startswith("!")]
    out = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    for name in into:
        path = ROOT / name
        for file in [path] if path.is_file() else path.rglob("*"):
            inside = file.relative_to(ROOT)
            if file.is_file() and not any(fnmatch(part, pattern) for part in inside.parts for pattern in out):
                yield inside
