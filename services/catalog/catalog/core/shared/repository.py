"""What the repositories of all records that people edit have in common."""

from __future__ import annotations

from typing import Protocol, TypeVar

T = TypeVar("T")


class Repository(Protocol[T]):
    """Reads and writes the records of one kind. Every change of a record passes `save` or `delete`."""

    async def get(self, record_id: str, *, lock: bool = False) -> T:
        """One; `lock`: nobody else changes it before this unit of work ends. NotFound."""
        ...

    async def save(self, record: T) -> T:
        """Add it, or replace the one with its id; answers it with its new revision.

        Conflict: the one with its id has changed since it was read.
        """
        ...

    async def delete(self, record: T) -> None:
        """Delete it. Conflict: it has changed since it was read."""
        ...
