"""What `make docs` writes is what it would write now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.docs import pages, with_table
from tools.services import ROOT, services_in


def test_what_is_written_from_the_code_is_fresh() -> None:
    stale = [str(path.relative_to(ROOT)) for path, wanted in pages() if path.read_text() != wanted]
    assert not stale, "run `make docs`"


def test_a_folder_that_is_no_project_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "services/left/left/__pycache__").mkdir(parents=True)
    (tmp_path / "services/catalog").mkdir()
    (tmp_path / "services/catalog/pyproject.toml").touch()
    assert services_in(tmp_path) == ("catalog",)


def test_a_page_without_a_place_for_its_table_is_named(tmp_path: Path) -> None:
    (page := tmp_path / "README.md").write_text("# catalog\n")
    with pytest.raises(ValueError, match=f"{page} has no place"):
        with_table(page, "| a |")
