"""Computes a fingerprint of the code, to find out whether a running stack runs this code."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "rushes_cli",
    "servicekit",
    "events",
    "mediakit",
    "rushes",
    "gateway",
    "catalog",
    "generator",
    "downloader",
    "stitcher",
    "sandbox",
)


def code_fingerprint() -> str:
    """A hash of the names, sizes and modification times of every module that a stack runs."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(place).rglob("*.py")):
                stat = path.stat()
                digest.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
