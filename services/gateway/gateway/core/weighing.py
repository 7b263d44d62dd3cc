"""Finding what makes a JSON body too large, without keeping it: which field, and how long it is.

The body goes through in pieces; what is kept is the way to where it stands (a few names) and the lengths of
the longest texts and lists. So a body of any size costs no more memory than a small one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .nearest import shown

LONG = 100_000
"""Characters from which a text is worth naming."""

MOST_MARKS = 200_000
"""Brackets, commas and texts after which a body is not worth more time: about a quarter of a second."""

MOST_NAMED = 20
_PIECE = 65_536
_DEEPEST = 32
_LONGEST_NAME = 128

_MARKS = re.compile(rb'["{}\[\],]')
# Possessive: no way back is kept for what cannot match otherwise.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no character."""


@dataclass(frozen=True)
class Heavy:
    """A text (its characters) or a list (its items) that is long; `field` is its path in the body."""

    field: str
    count: int
    is_text: bool


@dataclass
class _Level:
    """An object (with the name being told) or a list (with the number of the item)."""

    is_object: bool
    name: str = ""
    named: bool = False
    item: int = 0


class Scale:
    """Takes a body piece by piece; what is no JSON is weighed as far as it goes."""

    def __init__(self, *, long: int = LONG) -> None:
        self._long = long
        self._levels: list[_Level] = []
        self._deeper = 0
        self._in_text = False
        self._escaped = False
        self._length = 0
        self._marks = 0
        self._start = b""
        self._heavy: list[Heavy] = []
        self._list = Heavy("", 0, is_text=False)

    @property
    def weary(self) -> bool:
        """Whether it has seen enough: what comes next is not weighed."""
        return self._marks > MOST_MARKS

    def add(self, data: bytes) -> None:
        """The next piece of the body."""
        for begin in range(0, len(data), _PIECE):
            self._weigh(data[begin : begin + _PIECE])

    def heaviest(self) -> list[Heavy]:
        """The long texts, the longest first; without any, the longest list; else nothing."""
        if self._heavy:
            return sorted(self._heavy, key=lambda each: -each.count)[:MOST_NAMED]
        while self._levels:  # what has not ended yet is as long as it is by now
            self._leave()
        return [self._list] if self._list.count > self._long else []

    def _weigh(self, piece: bytes) -> None:
        at = 0
        while at < len(piece) and not self.weary:
            if self._in_text:
                at = self._text(piece, at)
                continue
            mark = _MARKS.search(piece, at)
            if mark is None:
                return
            self._marks += 1
            self._mark(mark[0])
            at = mark.end()

    def _text(self, piece: bytes, at: int) -> int:
        """Go on inside a text from `at`; answers where it goes on."""
        begin = at
        if self._escaped:
            self._escaped = False
            at += 1
        inside = _INSIDE.match(piece, at)
        at = inside.end() if inside else at
        part = piece[begin:at]
        self._length += len(part.translate(None, _CONTINUATION))
        if len(self._start) < _LONGEST_NAME:
            self._start += part[:_LONGEST_NAME]
        if at == len(piece):
            return at
        if piece[at : at + 1] == b"\\":  # the last byte: what it escapes comes with the next piece
            self._escaped = True
            self._length += 1
        else:
            self._in_text = False
            self._text_ended()
        return at + 1

    def _text_ended(self) -> None:
        level = self._levels[-1] if self._levels and not self._deeper else None
        if level is not None and level.is_object and not level.named:
            level.name, level.named = self._start.decode("utf-8", "replace"), True
        elif self._length >= self._long and len(self._heavy) < 10 * MOST_NAMED:
            self._heavy.append(Heavy(self._path(), self._length, is_text=True))

    def _mark(self, mark: bytes) -> None:
        if mark == b'"':
            self._in_text, self._length, self._start = True, 0, b""
        elif mark in b"{[":
            if len(self._levels) < _DEEPEST:
                self._levels.append(_Level(is_object=mark == b"{"))
            else:
                self._deeper += 1
        elif mark == b",":
            self._next()
        elif self._deeper:
            self._deeper -= 1
        elif self._levels:
            self._leave()

    def _next(self) -> None:
        if self._levels and not self._deeper:
            self._levels[-1].named = False
            self._levels[-1].item += 1

    def _leave(self) -> None:
        left = self._levels.pop()
        if left.item + 1 > self._list.count and left.item:
            self._list = Heavy(self._path(), left.item + 1, is_text=False)

    def _path(self) -> str:
        path = ""
        for level in self._levels:
            if level.is_object:
                path += f".{shown(level.name)}" if path else shown(level.name)
            else:
                path += f"[{level.item}]"
        return path or "body"
