"""The benchmarks run and write their table. What they measure is not tested: others use the machine, too."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import ROWS
from bench.measure import Line, percentile, ratio
from bench.table import markdown

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.bench
@pytest.mark.parametrize("row", ROWS)
def test_each_row_measures_and_writes_its_lines(row: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench", row, "--quick", "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert {line["row"] for line in table["lines"]} == {row}
    for line in table["lines"]:
        assert line["here"], line
        assert all(math.isfinite(sample) for sample in [*line["here"], *line["there"]]), line
        assert line["holds"] is None, "a quick run judges nothing"
        assert f"| {row} | {line['what']}" in (tmp_path / "table.md").read_text()


def test_an_unknown_row_is_named() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench", "B99"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "B99" in run.stderr


def test_the_ratio_is_that_of_the_pairs() -> None:
    assert ratio([2, 20, 6], [1, 10, 6]) == 2
    assert percentile([4, 1, 3, 2], 50) == 2
    assert percentile([1], 99) == 1


def test_the_table_shows_medians_ratio_bar_and_verdict() -> None:
    line = Line("B0", "thing", "ms", [1, 3, 2], "other", [2, 6, 4], "less", True, "how")
    page = markdown({"machine": "m"}, [line])
    assert "| B0 | thing [1] | 2 ms (1 to 3; 3) | other: 4 ms (2 to 6; 3) | 0.5 | less | yes |" in page
    assert "1. how" in page
