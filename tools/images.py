"""Builds the images of deploy/docker with docker or buildah, tags them by commit, and shows their sizes."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.services import ROOT, SERVICES

DOCKER = Path("deploy/docker")
PREFIX = "localhost/rushes"
"""No registry serves that name: what is not loaded is missing, and never somebody else's."""

OTHERS = ("minio",)
"""Images of a Dockerfile of their own, built when they are named. MinIO takes minutes."""


class BuildError(Exception):
    """What stands in the way, as a sentence with the way out."""


@dataclass(frozen=True)
class Engine:
    """A docker or a buildah that works, and its command that builds: both take the same options then."""

    program: str
    build: tuple[str, ...]


def find_engine(program: str) -> Engine:
    """The one that `program` names; unnamed, docker where it works, and else buildah."""
    if program:
        return _buildah(program) if Path(program).name.startswith("buildah") else _docker(program)
    docker, buildah = shutil.which("docker"), shutil.which("buildah")
    if docker:
        try:
            return _docker(docker)
        except BuildError as error:
            if not buildah:
                raise
            print(f"{error}\nbuildah is here, and builds now.", file=sys.stderr)
    if buildah:
        return _buildah(buildah)
    raise BuildError(
        "Images need docker or buildah, and neither is on PATH: install one of them "
        "(on Debian: apt-get install buildah), or name one with ENGINE=/path/to/it."
    )


def _docker(program: str) -> Engine:
    answer = _run(program, "version", "--format", "{{.Client.Version}}")
    if answer.returncode != 0:
        reason = (answer.stderr.strip() or "no reason given").splitlines()[-1]
        raise BuildError(
            f"{program} is here, but its engine does not answer ({reason}): start it (systemctl start "
            "docker), point DOCKER_HOST to one that runs, or install buildah, which needs none."
        )
    if _run(program, "buildx", "version").returncode == 0:
        return Engine(program, (program, "buildx", "build", "--load"))
    client = answer.stdout.strip()
    if int(client.partition(".")[0]) >= 23:  # older ones have BuildKit inside
        raise BuildError(
            f"{program} {client} needs its plug-in buildx for these images: install it, as "
            "docker-buildx-plugin or (Debian) docker-buildx, or install buildah."
        )
    return Engine(program, (program, "build"))


def _buildah(program: str) -> Engine:
    _run(program, "--version")
    return Engine(program, (program, "bud", "--layers"))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except OSError as error:
        raise BuildError(
            f"{command[0]} cannot be run ({error.strerror}): install it, or name another engine with ENGINE=…"
        ) from error


def commit_tag() -> str:
    """The tag of images built now: 12 digits of the commit, and "-dirty" where files differ from it.

    Raises:
        BuildError: this is no git checkout.
    """
    if revision := _revision():
        return re.sub(r"^(.{12})\w*", r"\1", revision)
    raise BuildError("This is no git checkout, so there is no commit to tag images by: give TAG=….")


def _revision() -> str:
    """The whole commit, in the same way; empty outside a checkout."""
    head = _run("git", "rev-parse", "HEAD")
    if head.returncode != 0:
        return ""
    return head.stdout.strip() + ("-dirty" if _run("git", "status", "--porcelain").stdout else "")


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when every image is built, and 1 with a sentence otherwise."""
    options = _parsed(arguments)
    names: Sequence[str] = options.names or SERVICES
    try:
        if unknown := set(names) - {*SERVICES, *OTHERS}:
            known = ", ".join([*SERVICES, *OTHERS])
            raise BuildError(f"No image {', '.join(sorted(unknown))}: there are {known}.")
        tag = options.tag or commit_tag()
        engine = find_engine(options.engine)
        for name in names:
            _build(engine, name, tag, options)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    _show(engine, names, tag)
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to build; the services when none is named: {', '.join(SERVICES)}, {', '.join(OTHERS)}",
    )
    parser.add_argument("--tag", default="", help='the tag beside "dev"; the commit when not given')
    parser.add_argument("--engine", default="", help="the docker or buildah to build with")
    parser.add_argument("--network", default="", help='the network of the builds, such as "host"')
    parser.add_argument(
        "--build-arg",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        dest="build_args",
        help="an argument of the Dockerfile, or a proxy; without a value, as it is in the environment",
    )
    return parser.parse_args(arguments)


def _build(engine: Engine, name: str, tag: str, options: argparse.Namespace) -> None:
    own = name in OTHERS
    command = [*engine.build, "--file", str(DOCKER / (f"{name}.Dockerfile" if own else "Dockerfile"))]
    if not own:
        command += ["--target", name]
    command += [f"--tag={PREFIX}/{name}:{each}" for each in (tag, "dev")]
    if options.network:
        command.append(f"--network={options.network}")
    pins = [] if own else [f"UV_VERSION={_uv_version()}", f"VERSION={_version(name)}"]
    command += [f"--build-arg={each}" for each in (*pins, f"REVISION={_revision()}", *options.build_args)]
    print(f"Building {PREFIX}/{name}:{tag} …", flush=True)
    done = subprocess.run([*command, "."], check=False, cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    if done.returncode != 0:
        raise BuildError(f"{PREFIX}/{name} is not built: {engine.program} says above why.")


def _uv_version() -> str:
    found = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("The Makefile has no line `UV_VERSION := …`: write it again.")
    return found[1]


def _version(service: str) -> str:
    project = tomllib.loads((ROOT / "services" / service / "pyproject.toml").read_text())
    return str(project["project"]["version"])


def _show(engine: Engine, names: Sequence[str], tag: str) -> None:
    images = {f"{PREFIX}/{name}:{tag}": f"{PREFIX}/{name}:dev" for name in names}
    width = max(map(len, images))
    print(f"\n{'image':{width}}  {'also':{width}}  {'size':>8}")
    for image, dev in images.items():
        # buildah prints it once for each of the image's tags.
        size = _run(engine.program, "images", "--format", "{{.Size}}", image).stdout.partition("\n")[0]
        print(f"{image:{width}}  {dev:{width}}  {size:>8}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
