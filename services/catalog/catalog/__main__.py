"""Runs catalog: `python -m catalog`; `python -m catalog rebuild` makes its database again, and ends."""

import os
import sys

from catalog.main import build
from catalog.rebuild_command import rebuild_command
from servicekit.process.main import main

if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["rebuild"]):
        sys.exit("usage: python -m catalog [rebuild]")
    sys.exit(rebuild_command(os.environ) if sys.argv[1:] else main("catalog", build))
