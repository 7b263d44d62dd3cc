"""How much memory a process and its children gain, from the kernel's own high-water marks."""

from __future__ import annotations

import asyncio
from pathlib import Path


class Gain:
    """The memory of a process tree above what it holds when this is made.

    The sum of each process's own highest resident size since `reset`, whenever reached: never less than what
    all held together at any one time.
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
    """Wait until the process and its children have loaded what they load at their start."""
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
            told = stat.read_text()
        except (FileNotFoundError, ProcessLookupError):  # it ended between the listing and the look
            continue
        parent = int(told.rpartition(")")[2].split()[1])
        parents.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def resident_kib(pid: int, field: str) -> int:
    """`VmRSS` (now) or `VmHWM` (the highest) of a process, as proc(5) tells them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    return 0
