"""What `make docs` writes is what it would write now."""

from __future__ import annotations

from tools.docs import ROOT, pages


def test_what_is_written_from_the_code_is_fresh() -> None:
    stale = [str(path.relative_to(ROOT)) for path, wanted in pages() if path.read_text() != wanted]
    assert not stale, "run `make docs`"
