"""A key-value bucket: small JSON values that all replicas share and change by compare-and-set."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from nats.errors import NoRespondersError
from nats.js import JetStreamContext, api
from nats.js.errors import (
    APIError,
    BadRequestError,
    InvalidKeyError,
    KeyDeletedError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoStreamResponseError,
)
from nats.js.kv import KeyValue

from servicekit.errors import Conflict, Invalid
from servicekit.events.topology import NAME_IN_USE, refuse_replicas

T = TypeVar("T")

_WRONG_LAST_SEQUENCE = 10071
"""JetStream: somebody was faster."""

Guard = Callable[[str, Callable[[], Awaitable[T]]], Awaitable[T]]


class Bucket:
    """A key-value bucket. Every call raises Unavailable when the server stays away.

    When the answer to a change is lost, the change is repeated and then raises Conflict although it was ours:
    read again before giving up, as after any Conflict.
    """

    def __init__(self, js: JetStreamContext, config: api.KeyValueConfig, guard: Guard[Any]) -> None:
        self._js = js
        self._config = config
        self._guard = guard
        self._store: KeyValue | None = None

    @property
    def name(self) -> str:
        """Its name, letters, digits, `-` and `_`."""
        return self._config.bucket

    async def get(self, key: str) -> tuple[Any, int] | None:
        """The value and its revision, or None."""

        async def read() -> tuple[Any, int] | None:
            try:
                entry = await self._with(lambda store: store.get(key))
            except (KeyNotFoundError, KeyDeletedError):
                return None
            return json.loads(entry.value or b"null"), entry.revision or 0

        return await self._run("get", key, read)

    async def put(self, key: str, value: Any) -> int:
        """Set it whatever it was; the new revision."""
        data = _encode(value)
        return await self._run("put", key, lambda: self._with(lambda store: store.put(key, data)))

    async def create(self, key: str, value: Any) -> int:
        """Set it where there is none; the revision. Conflict when there is one."""
        data = _encode(value)
        return await self._run("create", key, lambda: self._with(lambda store: store.create(key, data)))

    async def update(self, key: str, value: Any, *, revision: int) -> int:
        """Set it if it still is at `revision`; the new revision. Conflict when somebody was faster."""
        data = _encode(value)
        return await self._run(
            "update", key, lambda: self._with(lambda store: store.update(key, data, last=revision))
        )

    async def delete(self, key: str, *, revision: int | None = None) -> None:
        """Remove it; absent is fine. With `revision`: Conflict when somebody was faster."""
        await self._run("delete", key, lambda: self._with(lambda store: store.delete(key, last=revision)))

    async def ensure(self) -> None:
        """Create the bucket where there is none: at first use, and after the server has lost it."""
        try:
            self._store = await self._js.create_key_value(self._config)
        except APIError as error:
            refuse_replicas(error, self._config.replicas)
            if error.err_code != NAME_IN_USE:  # what exists under the name is used as it is
                raise
            await self._raise_replicas()
            self._store = await self._js.key_value(self.name)

    async def _raise_replicas(self) -> None:
        existing = (await self._js.stream_info(f"KV_{self.name}")).config
        if (existing.num_replicas or 1) < self._config.replicas:
            await self._js.update_stream(replace(existing, num_replicas=self._config.replicas))

    async def _open(self) -> KeyValue:
        if self._store is None:
            await self.ensure()
        assert self._store is not None  # noqa: S101  # for the type checker: `ensure` sets it
        return self._store

    async def _with(self, change: Callable[[KeyValue], Awaitable[T]]) -> T:
        try:
            return await change(await self._open())
        except (NoStreamResponseError, NoRespondersError):
            self._store = None  # the server has lost it: the next attempt creates it
            raise

    async def _run(self, verb: str, key: str, work: Callable[[], Awaitable[T]]) -> T:
        try:
            answer: T = await self._guard(f"{verb} {self.name}/{key}", work)
        except BadRequestError as error:
            # nats-py translates it for `create` and `update`, not for `delete`.
            if not isinstance(error, KeyWrongLastSequenceError) and error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            raise Conflict(f"{self.name}/{key} has changed meanwhile: read it again") from error
        except InvalidKeyError as error:
            raise Invalid(f"{key!r} is no key of bucket {self.name}: letters, digits, and -/_=.") from error
        return answer


def _encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
