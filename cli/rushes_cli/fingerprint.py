"""Tells one state of the code from another, so that a running stack is not taken for the code beside it."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = (
    "rushes_cli",
    "servicekit",
    "rushes",
    "gateway",
    "catalog",
    "generator",
    "downloader",
    "stitcher",
    "sandbox",
)


def code_fingerprint() -> str:
    """A short hash over the names, sizes and times of every module the stack runs."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(place).rglob("*.py")):
                facts = path.stat()
                digest.update(f"{path}:{facts.st_size}:{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
