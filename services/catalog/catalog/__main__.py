"""Runs catalog: `python -m catalog`."""

import sys

from catalog.main import build
from servicekit.process.main import main

if __name__ == "__main__":
    sys.exit(main("catalog", build))
