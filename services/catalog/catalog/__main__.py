"""Runs catalog: `python -m catalog`. `python -m catalog rebuild` makes its database again, and ends."""

import os
import sys

from catalog.main import build
from catalog.rebuild_command import rebuild_command
from servicekit.process.main import main

if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            sys.exit(main("catalog", build))
        case ["rebuild"]:
            sys.exit(rebuild_command(os.environ))
        case _:
            sys.exit("usage: python -m catalog [rebuild]")
