"""`python -m bench [ROW …] [--quick] [--out FOLDER]`: measure, show, and write the table."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

from bench import machine, table
from bench.measure import Line, Row, Scale

ROWS = {
    "B10": "bench.rows.b10_container_check",
    "B6": "bench.rows.b6_download",
    "B2": "bench.rows.b2_added_time",
    "B9": "bench.rows.b9_pipeline",
    "B12": "bench.rows.b12_rebuild",
}
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run the rows that are named, or all; 2 for a row that there is not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="only see that it runs; figures mean nothing")
    parser.add_argument("--out", type=Path, help="folder for the table; a full run has bench/results")
    asked = parser.parse_args(arguments)
    if unknown := sorted(set(asked.rows) - set(ROWS)):
        print(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    scale, told = Scale(quick=asked.quick), machine.describe()
    lines: list[Line] = []
    for name in asked.rows or ROWS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        row: Row = importlib.import_module(ROWS[name]).measure
        lines += asyncio.run(row(scale))
    out = asked.out or (RESULTS if not asked.rows and not asked.quick else None)
    if out is not None:
        table.write(out, told, lines)
    print(table.markdown(told, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
