"""Runs the stitcher: `python -m stitcher`."""

import sys

from servicekit.process.main import main
from stitcher.main import build

if __name__ == "__main__":
    sys.exit(main("stitcher", build))
