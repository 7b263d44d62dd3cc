"""What goes wrong for a person at the terminal: one sentence, the way out, and an exit code."""

from __future__ import annotations

WRONG_INPUT, FAILED = 2, 1


class Problem(Exception):  # noqa: N818  # it is what people are shown, not a fault of the program
    """A clear sentence, the way out, and the exit code that the command ends with."""

    def __init__(self, sentence: str, way_out: str = "", *, exit_code: int = WRONG_INPUT) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.way_out = way_out
        self.exit_code = exit_code
