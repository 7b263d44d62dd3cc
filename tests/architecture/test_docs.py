"""The tables in the documents are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import ROOT, fresh, pages


@pytest.mark.parametrize(("path", "table"), [pytest.param(*page, id=page[0].parent.name) for page in pages()])
def test_the_tables_are_those_of_the_code(path: Path, table: str) -> None:
    page = path.read_text()
    assert fresh(page, table) == page, f"{path.relative_to(ROOT)} is not fresh: run `make docs`"
