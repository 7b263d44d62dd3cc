"""`python -m bench [ROW …] [--quick] [--out FOLDER]`: measures rows, prints the table, and writes it."""

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
    "R8": "bench.rows.r8_rolling_restart",
}
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run the named rows, or all. Returns 2 for an unknown row."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="only check that it runs; figures mean nothing")
    parser.add_argument("--out", type=Path, help="folder for the table; a full run has bench/results")
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.rows) - set(ROWS)):
        print(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    scale, described = Scale(quick=options.quick), machine.describe()
    lines: list[Line] = []
    for name in options.rows or ROWS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        row: Row = importlib.import_module(ROWS[name]).measure
        lines += asyncio.run(row(scale))
    out = options.out or (RESULTS if not options.rows and not options.quick else None)
    if out is not None:
        table.write(out, described, lines)
    print(table.markdown(described, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
