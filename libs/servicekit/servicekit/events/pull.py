"""Pull requests on one consumer: requests exactly as many events as there is room for, and counts them.

nats-py's own `fetch(n)` waits for the whole batch (one event in an idle hour waits for the timeout), its
requests cannot be taken back when cancelled, and it leaves the subscription in a state in which `drain`
hangs for 30 s. Here each event is handed on the moment it arrives, and `close` takes back what is requested.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from servicekit.events.nats_errors import NATS_ERRORS

EXPIRES = 10.0
"""Seconds a request waits at the server. After that (and a little) it counts as lost, and is repeated."""

_CLOSE_BUDGET = 2.0
"""Seconds for the round trip that closes."""

_HEARTBEAT, _NO_MESSAGES, _TIMEOUT = "100", "404", "408"


class Pull:
    """Requests on one consumer, through one inbox.

    Args:
        on_event: called with each event that arrives; must return at once.
        on_end: called when a request has ended, with a reason unless it is the usual
            one (nothing there, time over): the consumer may be gone.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        *,
        on_event: Callable[[Msg], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._on_event = on_event
        self._on_end = on_end
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._requested = 0
        self._until = 0.0

    @property
    def requested(self) -> int:
        """How many events are requested and have not arrived. A request past its end does not count."""
        return self._requested if time.monotonic() < self._until else 0

    async def open(self) -> None:
        """Subscribe to the inbox that events arrive in."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._receive)

    async def request(self, count: int, *, wait: float = EXPIRES) -> None:
        """Request up to `count` events, for at most `wait` seconds; 0 takes what is there now."""
        options: dict[str, object] = {"batch": count}
        if wait > 0:
            options["expires"] = int(wait * 1e9)
        else:
            options["no_wait"] = True
        self._requested = self.requested + count
        self._until = time.monotonic() + wait + 2.0
        await self._client.publish(self._subject, json.dumps(options).encode(), reply=self._inbox)

    def forget(self) -> None:
        """The connection was lost, and all requests with it."""
        self._requested = 0

    async def close(self) -> None:
        """Take the requests back. What the server had sent by then still arrives at `on_event`."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with contextlib.suppress(*NATS_ERRORS):
            if self._client.is_connected:
                # A task that is never cancelled: nats-py's read loop, and with it the whole connection,
                # breaks on the answer to a flush whose waiter was cancelled.
                draining = asyncio.ensure_future(subscription.drain())  # type: ignore[no-untyped-call]  # nats-py
                draining.add_done_callback(_retrieve_error)
                await asyncio.wait({draining}, timeout=_CLOSE_BUDGET)
            else:  # the requests have died with the connection
                await subscription.unsubscribe()

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None:
            self._requested = max(self._requested - 1, 0)
            self._on_event(message)
            return
        if status == _HEARTBEAT:
            return
        headers = message.headers or {}
        self._requested = max(self._requested - int(headers.get("Nats-Pending-Messages", self._requested)), 0)
        description = headers.get("Description", "")
        self._on_end("" if status in (_NO_MESSAGES, _TIMEOUT) else f"{status} {description}".strip())


def _retrieve_error(draining: asyncio.Future[None]) -> None:
    """A subscription that could not be drained is gone all the same: asyncio shall not log its error."""
    if not draining.cancelled():
        draining.exception()
