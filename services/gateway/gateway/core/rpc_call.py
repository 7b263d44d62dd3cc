"""Calls the other services: a request says by its type which RPC it is for, so no RPC is named here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Response = TypeVar("Response")


@dataclass(frozen=True)
class RpcMethod:
    """Where a request goes, and how long its response is waited for.

    Args:
        path: as gRPC writes it, `/rushes.catalog.v1.<Service>/<Method>`.
        deadline: seconds, or None for the channel's own.
    """

    path: str
    deadline: float | None

    @property
    def package(self) -> str:
        """The first two parts of the proto package, `rushes.catalog`: the service that answers."""
        return ".".join(self.path.removeprefix("/").split(".")[:2])


class Calls(Protocol):
    async def __call__(self, request: Any, response: type[Response]) -> Response:
        """Send a request message to the service whose RPC takes it.

        Args:
            request: a message of the contracts.
            response: the message class of that RPC's response.

        Raises:
            AppError: what the other service raised; Unavailable when it cannot be reached.
        """
        ...
