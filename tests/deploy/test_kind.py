"""`make kind` on a machine that lacks what it needs says what, and the way out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.manifests import ROOT


@pytest.mark.parametrize("what", ["up", "down"])
def test_without_kind_it_says_what_is_missing(what: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.kind", what],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("kind is not on PATH: install it")
    assert "kubectl apply -k deploy/k8s/overlays/kind" in done.stderr
    assert "Traceback" not in done.stderr
