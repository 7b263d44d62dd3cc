"""Decodes files in a process of its own: one request and one response a line, JSON, until its input ends."""

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

from downloader.core.fetching.domain.fetch_errors import ErrorCode
from mediakit.check import check_file
from mediakit.errors import MediaError, Problem
from mediakit.formats import BY_EXTENSION
from mediakit.streams import start_decodes

MAX_ADDRESS_SPACE = 4 * 1024**3
"""Bytes: a file that needs more is refused, before it takes the memory of everything else here."""

CODES: dict[Problem, ErrorCode] = {
    Problem.NOT_MEDIA: ErrorCode.NOT_MEDIA,
    Problem.UNDECODABLE: ErrorCode.UNDECODABLE,
    Problem.TRUNCATED: ErrorCode.TRUNCATED,
    Problem.TOO_BIG: ErrorCode.TOO_BIG,
}

RETAINED = 4 * 1024**2
"""Bytes of memory that stay with the process for the next file."""


def respond(request: dict[str, Any]) -> dict[str, object]:
    """The facts; or whether the `start_decodes`; or the name of the `error`, and a `message`."""
    path, extension = Path(request["path"]), request["extension"]
    try:
        if request["incomplete"]:
            return {"start_decodes": start_decodes(path, BY_EXTENSION[extension])}
        facts = check_file(path, BY_EXTENSION[extension], start_decoded=request["start_decoded"])
    except MediaError as error:
        return _refusal(CODES[error.problem], error.message)
    except MemoryError:
        return _refusal(ErrorCode.TOO_BIG, "decoding it takes more memory than allowed")
    except Exception as error:  # noqa: BLE001  # decoders raise whatever they like at broken files
        return _refusal(ErrorCode.UNDECODABLE, f"it cannot be decoded ({type(error).__name__})")
    return asdict(facts)


def _refusal(error: ErrorCode, message: str) -> dict[str, object]:
    return {"error": error.name, "message": message}


class MemoryTrimmer:
    """Gives the memory that decoding took back to the system, when it is worth the while.

    The next file may be hours away. But collecting and trimming takes longer than checking a small clip,
    and makes the next one request the same pages from the system again.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what is loaded stays: collecting it after every file finds nothing
        self._resident_before = _resident()

    def trim(self) -> None:
        """Do so when it is more than `RETAINED`, or cannot be measured."""
        now = _resident()
        if now and now - self._resident_before < RETAINED:
            return
        gc.collect()
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc retains what was freed
        if malloc_trim is not None:
            malloc_trim(0)
        self._resident_before = _resident()


def _resident() -> int:
    """Bytes of this process in memory now; 0 where the system has no /proc."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return 0


def main() -> None:
    """Serve until the input ends. The alarm ends a process that outlives its parent inside a decoder."""
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.set_level(None)
    Image.init()
    memory = MemoryTrimmer()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        signal.alarm(seconds)
        sys.stdout.write(json.dumps(respond(json.loads(line))) + "\n")
        sys.stdout.flush()
        signal.alarm(0)
        memory.trim()


if __name__ == "__main__":
    main()
