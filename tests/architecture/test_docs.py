"""What `make docs` writes is what it would write now."""

from __future__ import annotations

import json
import re
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


def test_routes_that_documents_name_are_there() -> None:
    routes = json.loads((ROOT / "services/gateway/tests/golden/routes.json").read_text())
    known = {re.sub(r"\{[^}]*\}", "*", route) for route in routes}
    named = {
        (path.name, re.sub(r"\{[^}]*\}|<[^>]*>", "*", found))
        for path in sorted((ROOT / "docs").glob("*.md"))
        for found in re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /api/v3/[^\s`?]+)", path.read_text())
    }
    assert len(named) > 5
    assert not {each for each in named if each[1] not in known}
