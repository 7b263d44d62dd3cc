"""Runs Rushes in a kind cluster on this machine: cluster, images, manifests, and a job to try it."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.images import PREFIX, BuildError, commit_tag, find_engine
from tools.services import ROOT, SERVICES

OVERLAY = ROOT / "deploy" / "k8s" / "overlays" / "kind"
CLUSTER = "rushes"
ADDRESS = "http://127.0.0.1:8000"
API_KEY = "rsh_only-for-trying"
"""The admin key that the overlay writes; whoever reads the repository knows it."""
IMAGES = (*SERVICES, "minio")
READY_WITHIN = "300s"


class KindError(Exception):
    """What stands in the way, as a sentence with the way out."""


def up() -> None:
    """Make the cluster where it is not there, load today's images into it, apply the manifests, run a job."""
    kind, kubectl = _kind(), [_beside_python("kubectl"), "--context", f"kind-{CLUSTER}"]
    tag = commit_tag()
    _step(f"images {tag}", [sys.executable, "-m", "tools.images", *IMAGES])
    if CLUSTER not in _output([kind, "get", "clusters"]).split():
        config = str(ROOT / "deploy" / "kind" / "cluster.yaml")
        _step("cluster", [kind, "create", "cluster", "--config", config, "--wait", "180s"])
    names = [f"{PREFIX}/{name}:{tag}" for name in IMAGES]
    _step("images into the cluster", [kind, "load", "docker-image", "--name", CLUSTER, *names])
    # A Job cannot be changed; a new version brings another.
    former = [*kubectl, "delete", "job", "migrate", "--namespace=rushes", "--ignore-not-found"]
    _step("the migration before away", former)
    with tempfile.TemporaryDirectory(dir=OVERLAY.parent, prefix=".kind-") as folder:
        (Path(folder) / "kustomization.yaml").write_text(_with_tag(tag))
        _step("manifests", [*kubectl, "apply", "-k", folder])
    if tag.endswith("-dirty"):  # the same tag as before, perhaps for other code
        _step("new pods", [*kubectl, "rollout", "restart", "deployment", "--namespace=rushes"])
    for workload in _output(
        [*kubectl, "get", "statefulset,deployment", "-n", "rushes", "-o", "name"]
    ).split():
        waiting = ["rollout", "status", workload, "--namespace=rushes", f"--timeout={READY_WITHIN}"]
        _step(f"{workload} ready", [*kubectl, *waiting])
    job = [_beside_python("rushes"), "demo", "--at", ADDRESS, "--scenes", "2", "--seconds", "2"]
    _step("a job", job, env={"RUSHES_API_KEY": API_KEY})
    print(
        f"\nRushes runs in kind: {ADDRESS}/docs (key: {API_KEY}). `make kind-down` removes it with its data."
    )


def down() -> None:
    """Remove the cluster, and all that is in it."""
    _step("cluster away", [_kind(), "delete", "cluster", "--name", CLUSTER])


def _kind() -> str:
    found = shutil.which("kind")
    if found is None:
        raise KindError(
            "kind is not on PATH: install it (go install sigs.k8s.io/kind@latest; kind.sigs.k8s.io), or "
            "use any cluster: push the images of `make images` where it finds them, and run "
            "kubectl apply -k deploy/k8s/overlays/kind"
        )
    engine = find_engine("")
    if not Path(engine.program).name.startswith("docker"):
        raise KindError(
            "kind runs its nodes in Docker, and no engine of it answers: install or start Docker."
        )
    return found


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _with_tag(tag: str) -> str:
    """A kustomization: the overlay, with images of this tag."""
    images = "\n".join(f"  - {{ name: {PREFIX}/{name}, newTag: {tag} }}" for name in IMAGES)
    return (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [../{OVERLAY.name}]\nimages:\n{images}\n"
    )


def _step(what: str, command: Sequence[str], *, env: dict[str, str] | None = None) -> None:
    print(f"== {what}", flush=True)
    done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, **(env or {})})
    if done.returncode:
        raise KindError(
            f"{what}: `{' '.join(command)}` ended with {done.returncode}; it says above why. "
            f"What runs: kubectl --context kind-{CLUSTER} -n rushes get pods"
        )


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise KindError(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="make kind", description=__doc__)
    parser.add_argument("do", choices=["up", "down"])
    try:
        up() if parser.parse_args().do == "up" else down()
    except (KindError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
