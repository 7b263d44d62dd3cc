"""Renders the overlays as `kubectl apply -k` would, and reads what is in them."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "k8s"
KUBECTL = Path(sys.executable).with_name("kubectl")

Document = dict[str, Any]

EYES = ("telemetry", "prometheus", "grafana")
OVERLAYS = ("kind", "production")
VARIANTS: dict[str, tuple[str, ...]] = {
    "kind": (),
    "kind, scaled by KEDA": ("keda",),
    "kind, scaled by HPA": ("hpa",),
    "kind, by Gateway API": ("gateway-api",),
    "kind, while its database is made again": ("rebuild",),
    "kind, with eyes": EYES,
    "production": (),
    "production, scaled by KEDA": ("keda",),
    "production, scaled by HPA": ("hpa",),
    "production, with eyes": EYES,
    "production, with database and sandbox": ("postgres", "sandbox"),
}
"""An overlay, and the components that are switched on beside its own."""

INSTEAD = (
    ("kind", "minio", "seaweedfs"),
    ("production", "minio", "s3-elsewhere"),
    ("production", "ingress", "gateway-api"),
)
"""An overlay, one of its own components, and what it may have instead."""


def variants() -> Iterator[tuple[str, list[Document]]]:
    """Every overlay, with what may be switched on: its name and documents."""
    for name, components in VARIANTS.items():
        overlay = name.partition(",")[0]
        yield name, rendered(overlay, components)
    for overlay, own, other in INSTEAD:
        yield f"{overlay}, {other} instead of {own}", rendered(overlay, instead=(own, other))


@functools.cache
def rendered(
    overlay: str, components: tuple[str, ...] = (), instead: tuple[str, str] | None = None
) -> list[Document]:
    """The documents of an overlay."""
    with kustomization(overlay, components, instead) as folder:
        built = subprocess.run(
            [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False, timeout=60
        )
    assert built.returncode == 0, built.stderr
    return [document for document in yaml.safe_load_all(built.stdout) if document]


@contextmanager
def kustomization(
    overlay: str, components: tuple[str, ...] = (), instead: tuple[str, str] | None = None
) -> Iterator[Path]:
    """The folder of an overlay; with other components, of a copy of it in which they are switched on."""
    original = KUBERNETES / "overlays" / overlay
    if not components and not instead:
        yield original
        return
    with tempfile.TemporaryDirectory(dir=original.parent, prefix=".test-") as name:
        folder = Path(name)
        shutil.copytree(original, folder, dirs_exist_ok=True)
        file = folder / "kustomization.yaml"
        own = yaml.safe_load(file.read_text())
        own["components"] += [f"../../components/{name}" for name in components]
        if instead:
            was, now = (f"../../components/{name}" for name in instead)
            own["components"][own["components"].index(was)] = now
        file.write_text(yaml.safe_dump(own))
        yield folder


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def named(documents: list[Document], kind: str, name: str) -> Document:
    """The one of that kind and name; a generated name counts without its hash."""
    [found] = [
        document
        for document in of_kind(documents, kind)
        if document["metadata"]["name"] == name
        or (document["metadata"]["name"].rpartition("-")[0] == name and kind in ("ConfigMap", "Secret"))
    ]
    return found


def workloads(documents: list[Document]) -> list[Document]:
    """What has pods."""
    return of_kind(documents, "Deployment", "StatefulSet", "Job")


def pod(workload: Document) -> Document:
    """The template of its pods: metadata and spec."""
    template: Document = workload["spec"]["template"]
    return template


def name_of(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    wanted = selector.get("matchLabels", {})
    chosen = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in chosen)
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(each["key"]) in each["values"] for each in chosen
    )
