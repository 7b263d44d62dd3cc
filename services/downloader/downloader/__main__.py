"""Runs the downloader: `python -m downloader`."""

import sys

from downloader.main import build
from servicekit.process.main import main

if __name__ == "__main__":
    sys.exit(main("downloader", build))
