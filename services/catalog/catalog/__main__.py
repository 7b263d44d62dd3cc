"""Runs catalog: `python -m catalog`; with `migrate` or `rebuild` it does that to its database, and ends."""

import os
import sys

from catalog.main import build
from catalog.migrate_command import migrate_command
from catalog.rebuild_command import rebuild_command
from servicekit.process.main import main

if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["migrate"], ["rebuild"]):
        sys.exit("usage: python -m catalog [migrate | rebuild]")
    commands = {"migrate": migrate_command, "rebuild": rebuild_command}
    sys.exit(commands[sys.argv[1]](os.environ) if sys.argv[1:] else main("catalog", build))
