"""Writes the table of results, for people (Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from bench.measure import Line

_HEAD = "| row | what | here | instead | ratio | bar | holds |\n| --- | --- | --- | --- | --- | --- | --- |"


def markdown(machine: Mapping[str, str], lines: Sequence[Line]) -> str:
    notes = list(dict.fromkeys(line.note for line in lines if line.note))
    page = [
        "# Measured",
        "",
        "Medians (least to most; how many) of samples taken in turn with what a user would use instead. The",
        "ratio is here over there, the median of the pairs. Others may use the machine too: compare ratios.",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
        "",
        _HEAD,
        *(_row(line, notes) for line in lines),
        "",
        *(f"{number}. {note}" for number, note in enumerate(notes, 1)),
        "",
    ]
    return "\n".join(page)


def write(folder: Path, machine: Mapping[str, str], lines: Sequence[Line]) -> None:
    """`table.md` and `table.json` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(markdown(machine, lines))
    rows = [
        {**asdict(line), "median_here": median(line.here), "median_there": _median(line), "ratio": line.ratio}
        for line in lines
    ]
    (folder / "table.json").write_text(json.dumps({"machine": machine, "lines": rows}, indent=1) + "\n")


def _row(line: Line, notes: list[str]) -> str:
    mark = f" [{notes.index(line.note) + 1}]" if line.note else ""
    holds = {None: "", True: "yes", False: "**no**"}[line.holds]
    there = f"{line.peer}: {_samples(line.there, line.unit)}" if line.there else "-"
    share = f"{line.ratio:.3g}" if line.ratio is not None else "-"
    cells = (line.row, line.what + mark, _samples(line.here, line.unit), there, share, line.bar or "-", holds)
    return f"| {' | '.join(cells)} |"


def _samples(samples: Sequence[float], unit: str) -> str:
    middle = f"{median(samples):.3g} {unit}"
    if len(samples) == 1:
        return middle
    return f"{middle} ({min(samples):.3g} to {max(samples):.3g}; {len(samples)})"


def _median(line: Line) -> float | None:
    return median(line.there) if line.there else None
