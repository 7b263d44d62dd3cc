"""Runs the sandbox: `python -m sandbox`."""

import sys

from sandbox.main import build
from servicekit.process.main import main

if __name__ == "__main__":
    sys.exit(main("sandbox", build))
