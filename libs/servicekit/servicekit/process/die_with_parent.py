"""Launches child processes that die with us, however we die.

Run as a script, alone: `python -I -S die_with_parent.py <parent pid> <program> <arguments…>`. It asks the
kernel to be killed with its parent and becomes the program. (A `preexec_fn` would run Python between fork and
exec in a process with gRPC's threads, where it may hang for ever and where gRPC's own poller breaks.)
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(argv: Sequence[str]) -> list[str]:
    """The command line that starts `argv` (its program by path) so that it dies with this process."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _become(parent: int, program: str, arguments: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execv(program, [program, *arguments])  # noqa: S606  # a list of arguments, from our own plan


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
