"""The one exception of this library, and the ways in which a file can fail to be media."""

from __future__ import annotations

from enum import StrEnum


class Problem(StrEnum):
    """Why a file is not taken."""

    NOT_MEDIA = "not_media"
    UNDECODABLE = "undecodable"
    TRUNCATED = "truncated"
    TOO_BIG = "too_big"


class MediaError(Exception):
    """A file is not what it should be. The message says what it is instead, and holds no path."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
        self.message = message
