"""Measures how much memory a process and its children gain, by the kernel's high-water marks."""

from __future__ import annotations

import asyncio
from pathlib import Path


class MemoryGain:
    """The memory of a process tree above what it uses when this object is made.

    It is the sum of the highest resident sizes of all processes since `reset`, each at its own time: never
    less than what all used at any one time.
    """

    def __init__(self, pid: int) -> None:
        self._idle = {each: resident_kib(each, "VmRSS") for each in tree(pid)}
        self._pid = pid

    def reset(self) -> None:
        """Forget earlier peaks."""
        for pid in tree(self._pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak resident size

    def peak_mib(self) -> float:
        """MiB gained at the peaks since the last reset."""
        gained = (resident_kib(pid, "VmHWM") - self._idle.get(pid, 0) for pid in tree(self._pid))
        return sum(max(kib, 0) for kib in gained) / 1024


async def settled(pid: int) -> None:
    """Wait until the process and its children use the same memory for a second: they are loaded."""
    same, last = 0, 0
    while same < 5:
        await asyncio.sleep(0.2)
        now = sum(resident_kib(each, "VmRSS") for each in tree(pid))
        same, last = (same + 1, now) if now == last else (0, now)


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            stat_line = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended between listing and reading
            continue
        parent = int(stat_line.rpartition(")")[2].split()[1])
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def resident_kib(pid: int, field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the highest) of a process, see proc(5)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0
