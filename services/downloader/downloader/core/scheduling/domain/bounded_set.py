"""Remembers what was done already, as far as the memory of one replica goes."""

from __future__ import annotations

from collections.abc import Hashable

MAX_REMEMBERED = 20_000
"""As many as may be in flight. Beyond that something is done once more, which is harmless."""


class BoundedSet:
    """A set that forgets its oldest members."""

    def __init__(self) -> None:
        self._members: dict[Hashable, None] = {}  # in the order of their coming

    def __contains__(self, member: Hashable) -> bool:
        return member in self._members

    def add(self, member: Hashable) -> bool:
        """Whether it is new."""
        if member in self._members:
            return False
        self._members[member] = None
        if len(self._members) > MAX_REMEMBERED:
            del self._members[next(iter(self._members))]
        return True
