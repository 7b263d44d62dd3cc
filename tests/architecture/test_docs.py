"""What `make docs` writes is what it would write now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import ROOT, pages


@pytest.mark.parametrize(
    ("path", "wanted"),
    [pytest.param(path, wanted, id=str(path.relative_to(ROOT))) for path, wanted in pages()],
)
def test_what_is_written_from_the_code_is_fresh(path: Path, wanted: str) -> None:
    assert path.read_text() == wanted, f"{path.relative_to(ROOT)} is not fresh: run `make docs`"
