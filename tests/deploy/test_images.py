"""What an image must be, without an engine: the same copies and syncs make an environment that starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from itertools import pairwise
from pathlib import Path

import pytest

from tests.deploy.dockerfile import ROOT, Dockerfile, EmptyMachine, Stage
from tools.services import SERVICES as NAMES

FOLDER = ROOT / "deploy" / "docker"
FILES = {path.name: Dockerfile.read(path) for path in sorted(FOLDER.glob("*Dockerfile"))}
SERVICES = Dockerfile.read(FOLDER / "Dockerfile")
IMAGES = {**{name: SERVICES.stages[name] for name in NAMES}, "minio": FILES["minio.Dockerfile"].stages[""]}

PROGRAMS = {"nats-server", "weed", "uv", "pip", "pip3", "pytest", "gcc"}
"""What has no business in an image."""

WRONG = {"sandbox": {"SANDBOX_SPEED": "fast"}}
"""The sandbox lacks no setting, so it is given a wrong one."""

CHECKED_ALWAYS = ("catalog", "stitcher")
"""The one without media, and the one with the most. `make check-images` checks the others."""


@pytest.mark.parametrize(
    "service",
    [pytest.param(name, marks=[] if name in CHECKED_ALWAYS else [pytest.mark.images]) for name in NAMES],
)
def test_what_is_built_starts_and_holds_nothing_else(service: str, tmp_path: Path) -> None:
    machine = EmptyMachine(tmp_path)
    layers = list(machine.build(SERVICES.chain(f"{service}-code")))

    ended = subprocess.run(
        [machine.app / "bin" / "python", "-m", service],
        env=WRONG.get(service, {}), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (2, "")
    problem = json.loads(ended.stdout)["problem"]
    assert " is missing: " in problem or "SANDBOX_SPEED" in problem

    [packages] = machine.app.glob("lib/python3*/site-packages")
    installed = {found.name for found in distributions(path=[str(packages)])}
    assert f"rushes-{service}" in installed
    assert not installed & only_for_tests()
    assert not PROGRAMS & {path.name for path in (machine.app / "bin").iterdir()}
    assert not list(packages.glob(f"{service}/tests"))

    for below, above in pairwise(layers):
        assert below <= above, "an image would have what lies below and its service does not need"


def only_for_tests() -> set[str]:
    """What pyproject.toml has for tests and builds, and no package of ours has for running."""
    own = [tomllib.loads(path.read_text()) for path in ROOT.glob("*/*/pyproject.toml")]
    running = {_name(each) for project in own for each in project["project"]["dependencies"]}
    embedded = next(
        p["project"]["optional-dependencies"]["embedded"] for p in own if p["project"]["name"] == "servicekit"
    )
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {_name(each) for each in [*workspace["dependency-groups"]["dev"], *embedded, "pip"]} - running


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=~!]", requirement)[0]


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_runs_as_nobody_and_is_ended_by_signals(name: str) -> None:
    stage = IMAGES[name]
    assert stage.all("USER") == ["65532:65532"], "runAsNonRoot cannot check a name"
    [command] = [json.loads(text) for text in stage.all("ENTRYPOINT")]  # in exec form
    assert command == (["python", "-m", name] if name in NAMES else ["/usr/bin/minio"])
    labels = " ".join(stage.all("LABEL"))
    assert all(f"org.opencontainers.image.{label}=" in labels for label in ("title", "version", "revision"))


@pytest.mark.parametrize("file", FILES)
def test_builds_need_nothing_that_cannot_be_named_or_found(file: str) -> None:
    """Every base is an argument with a tag of its own; nothing is copied out of somebody else's image."""
    built = FILES[file]
    assert (FOLDER / file).read_text().splitlines()[0].startswith("# ")
    assert "syntax=" not in (FOLDER / file).read_text()
    for stage in built.stages.values():
        assert stage.base in {*built.stages, "scratch", *(f"${{{name}}}" for name in built.arguments)}
        for text in [*stage.all("COPY"), *stage.all("RUN")]:
            assert set(re.findall(r"from=([\w-]+)", text)) <= built.stages.keys()
    for value in built.arguments.values():
        assert not value.endswith(":latest")
        assert re.search(r"[:v][\w.-]+$", value), f"{value} names no version"


@pytest.mark.parametrize("name", NAMES)
def test_what_runs_needs_no_network_to_be_put_together(name: str) -> None:
    """The stages of the image itself add what others have built, and take pip away; they load nothing."""
    stages: list[Stage] = SERVICES.chain(name)
    commands = [text for stage in stages for text in stage.all("RUN")]
    assert [text for text in commands if not text.endswith(" /mnt/add")] == [
        text for text in commands if text.startswith("rm -rf ")
    ]
    mounted = [found for text in commands for found in re.findall(r"from=([\w-]+)", text)]
    assert mounted == [
        part for part in ("common", "media", f"{name}-dependencies", f"{name}-code") if part in mounted
    ]
    assert mounted[-2:] == [f"{name}-dependencies", f"{name}-code"]
    assert ("media" in mounted) == (SERVICES.stages[f"{name}-dependencies"].base == "media")


RECORDING = """#!/bin/sh
echo "$@" >> {calls}
case $1 in
    version) echo 20.10.24;;
    buildx) exit 1;;
    images) echo 288MB;;
esac
"""


def test_make_images_names_what_it_builds_by_commit(tmp_path: Path) -> None:
    """With a docker that writes down how it is called."""
    engine, calls = tmp_path / "docker", tmp_path / "calls"
    engine.write_text(RECORDING.format(calls=calls))
    engine.chmod(0o755)
    done = make_images(
        "catalog", "minio", "--engine", str(engine), "--network=host", "--build-arg=BASE=mine:1"
    )
    assert done.returncode == 0, done.stderr
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout[:12]
    catalog, minio = [
        line for line in (tmp_path / "calls").read_text().splitlines() if " build " in f" {line}"
    ]
    uv = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert uv
    for wanted in (
        "--file deploy/docker/Dockerfile --target catalog ",
        f"--tag=localhost/rushes/catalog:{commit}",
        "--tag=localhost/rushes/catalog:dev ",
        "--network=host ",
        f"--build-arg=UV_VERSION={uv[1]} ",
        f"--build-arg=REVISION={commit}",
        "--build-arg=BASE=mine:1 ",
    ):
        assert wanted in catalog
    assert "--file deploy/docker/minio.Dockerfile --tag=localhost/rushes/minio:" in minio
    assert re.search(
        rf"localhost/rushes/catalog:{commit}\S* +localhost/rushes/catalog:dev +288MB", done.stdout
    )


@pytest.mark.parametrize(
    ("docker", "sentence"),
    [
        ("", "need docker or buildah, and neither is on PATH: install one"),
        ("echo no such socket >&2; exit 1", "its engine does not answer (no such socket): start it"),
        (
            '[ "$1" = version ] && echo 28.2.2',
            "docker 28.2.2 needs its plug-in buildx for these images: install it",
        ),
        ('[ "$1" = version ] && echo 20.10.24', "localhost/rushes/catalog is not built: "),
    ],
)
def test_make_images_says_what_is_missing(docker: str, sentence: str, tmp_path: Path) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "git").symlink_to(git)
    if docker:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (tmp_path / "docker").chmod(0o755)
    done = make_images("catalog", "--tag=1", path=str(tmp_path))
    assert done.returncode == 1
    assert sentence in done.stderr


def make_images(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.images", *arguments], cwd=ROOT,
        capture_output=True, text=True, check=False, env={**os.environ, "PATH": path or os.environ["PATH"]},
    )  # fmt: skip
