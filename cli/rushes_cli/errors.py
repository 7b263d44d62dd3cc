"""Defines the error that ends a command: what is wrong, the way out, and the exit code."""

from __future__ import annotations

WRONG_INPUT, FAILED = 2, 1


class CommandError(Exception):
    """Is shown to the person at the terminal as it is: `message` and `way_out` are sentences."""

    def __init__(self, message: str, way_out: str = "", *, exit_code: int = WRONG_INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out
        self.exit_code = exit_code
