"""A remote procedure by its name and the two message types it speaks, whatever they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Asked = TypeVar("Asked")
Answered = TypeVar("Answered")


@dataclass(frozen=True)
class Rpc(Generic[Asked, Answered]):
    """One procedure: `/rushes.catalog.v1.JobService/GetJob`, the class asked with and the class answered."""

    name: str
    request: type[Asked]
    response: type[Answered]

    @property
    def package(self) -> str:
        """The first two parts of the proto package: `rushes.catalog`. Tells which service answers."""
        return ".".join(self.name.removeprefix("/").split(".")[:2])


class Calls(Protocol):
    """Calling the other services."""

    async def __call__(
        self, rpc: Rpc[Asked, Answered], request: Asked, *, deadline: float | None = None
    ) -> Answered:
        """Ask and wait, at most `deadline` seconds (or a default).

        Raises:
            AppError: what the other service raised; Unavailable when it cannot be reached.
        """
        ...
