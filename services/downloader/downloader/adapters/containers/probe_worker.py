"""The process that decodes: one question and one answer a line, JSON, until its input ends."""

from __future__ import annotations

import ctypes
import gc
import json
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
from PIL import Image

from downloader.adapters.containers.probe_images import probe_image
from downloader.adapters.containers.probe_streams import begins_well, probe_streams
from downloader.core.containers.domain import BY_EXTENSION, Kind, Measured
from downloader.core.containers.structure import check_structure
from downloader.core.fetching.domain.fetch_errors import Code, FetchFailed

MEMORY = 4 * 1024**3
"""Bytes of address space: a file that wants more is refused, not the machine's other work."""

KEPT = 4 * 1024**2
"""Bytes kept for the next file."""


def answer(question: dict[str, Any]) -> dict[str, object]:
    """What is measured, or whether it `begins` well, or the refusal as `code` and `message`."""
    path, extension = Path(question["path"]), question["extension"]
    try:
        if question["incomplete"]:
            return {"begins": begins_well(path, BY_EXTENSION[extension])}
        measured = probe(path, extension, begun=question["begun"])
    except FetchFailed as failure:
        return {"code": failure.code.value, "message": failure.message}
    except MemoryError:
        return {"code": Code.TOO_BIG.value, "message": "decoding it takes more memory than allowed"}
    except Exception as error:  # noqa: BLE001  # decoders raise whatever they like at broken files
        return {"code": Code.UNDECODABLE.value, "message": f"it cannot be decoded ({type(error).__name__})"}
    return asdict(measured)


def probe(path: Path, extension: str, *, begun: bool = False) -> Measured:
    """What the file holds; FetchFailed. See `probe_streams` for `begun`."""
    container = BY_EXTENSION[extension]
    with path.open("rb") as file:
        check_structure(file, path.stat().st_size, container)
    if container.kind is Kind.IMAGE:
        return probe_image(path, container)
    return probe_streams(path, container, begun=begun)


class Memory:
    """What decoding took beyond what the process has loaded, given back when it is worth the while.

    The next file may be hours away. But collecting and trimming takes longer than checking a small clip,
    and makes the next one ask the system for the same pages again.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what is loaded stays: looking through it after every file finds nothing
        self._idle = _resident()

    def hand_back(self) -> None:
        """Give it back to the system, when it is more than `KEPT` or cannot be told."""
        now = _resident()
        if now and now - self._idle < KEPT:
            return
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone keeps what was freed
        if trim is not None:
            trim(0)
        self._idle = _resident()


def _resident() -> int:
    """Bytes of this process in memory now; 0 where the system does not tell it this way."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def main() -> None:
    """Serve until the input ends. The alarm ends a process that outlived its parent inside a decoder."""
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    Image.init()
    memory = Memory()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        signal.alarm(seconds)
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
        signal.alarm(0)
        memory.hand_back()


if __name__ == "__main__":
    main()
