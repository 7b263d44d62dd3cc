"""`python -m generator`."""

import sys

from generator.main import build
from servicekit.process.main import main

if __name__ == "__main__":
    sys.exit(main("generator", build))
