"""Starts the parts of a process in order and stops them in reverse, each within its budget of time."""

# ruff: noqa: N818  # these end a process: StartFailed, StopForced read as what happened
from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import structlog

from servicekit.clock import Clock, SystemClock
from servicekit.concurrency import end, first_of
from servicekit.errors import Unavailable

STOP_BUDGET = 8.0
"""Seconds a part may take to stop."""

STOP_WITHIN = 16.0
"""Seconds that all parts of a process may take together; whoever ends processes waits a little longer
(`rushes up` 20 s, Kubernetes 45 s)."""

_STOP_LEAST = 0.2
"""Seconds that a part still gets when those before it have used up the time."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)

RESTART_FIRST, RESTART_LONGEST = 0.5, 30.0
"""Seconds before a background task that died is started again: doubled each time, up to the second number."""


START_AGAIN = 1.0
"""Seconds between two tries to start a part that needs something which is away."""

LOG_AGAIN = 30.0
"""Seconds after which it is logged again what a start waits for."""


class Part(Protocol):
    """Something that starts and stops. Stopping before starting, or twice, is fine."""

    async def start(self) -> None:
        """Come up; answer when ready for work.

        Raises:
            Unavailable: what it needs is away; it is stopped, and started again in a while.
        """
        ...

    async def stop(self) -> None:
        """Finish or give back the current work, then release everything."""
        ...


class StartFailed(Exception):
    """A part cannot start; those before it are stopped again. The message names the part and the reason."""


class StopForced(Exception):
    """A second signal came while stopping: the rest was not stopped in order."""


async def run(
    service: str,
    parts: Sequence[Part],
    *,
    budget: float = STOP_BUDGET,
    within: float = STOP_WITHIN,
    until_signal: bool = True,
) -> bool:
    """Start the parts in order, wait for SIGTERM or SIGINT, stop them in reverse order.

    Without `until_signal` it stops them as soon as all have started: for what is done by starting it.

    A part whose start raises `Unavailable` is stopped and started again until it works: the database, the log
    or a disk may come later than we do. A signal during the start ends it and stops what was started. A part
    that takes longer to stop than `budget` seconds, or than what is left of the `within` seconds for all of
    them, is logged and left behind.

    Answers whether all parts had started: False when a signal came before.

    Raises:
        StartFailed: a part's `start` raised something else: waiting would not help.
        StopForced: a second signal arrived before everything had stopped.
    """
    log = structlog.get_logger(__name__).bind(service=service)
    touched: list[Part] = []
    with _signals() as (first, second):
        try:
            for part in parts:
                touched.append(part)
                if not await _start(service, part, budget, first, log):
                    return False
            log.info("started", parts=[_name(part) for part in parts])
            if until_signal:
                await first.wait()
            return True
        finally:
            log.info("stopping")
            if await first_of(_stop(touched, budget, within, log), second.wait()) == 1:
                raise StopForced("a second signal arrived: stopped at once")
            log.info("stopped")


@contextlib.contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: set by the first signal, and by any later one.

    Only a handler of the loop lets `finally` blocks run; Python's default for SIGTERM ends the process.
    """
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def received() -> None:
        (second if first.is_set() else first).set()

    for number in SIGNALS:
        loop.add_signal_handler(number, received)
    try:
        yield first, second
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def _start(
    service: str,
    part: Part,
    budget: float,
    stopping: asyncio.Event,
    log: structlog.typing.FilteringBoundLogger,
) -> bool:
    """Start one part, however long it takes; False when `stopping` was set first."""
    loop = asyncio.get_running_loop()
    logged, when = "", 0.0
    while True:
        try:
            await first_of(part.start(), stopping.wait())
        except Unavailable as error:
            if error.message != logged or loop.time() - when > LOG_AGAIN:
                log.warning("waiting to start", part=_name(part), reason=error.message)
                logged, when = error.message, loop.time()
            await first_of(_stop_part(part, budget, log), stopping.wait())
            await first_of(asyncio.sleep(START_AGAIN), stopping.wait())
        except Exception as error:  # whatever it is, the message names the part
            raise StartFailed(
                f"{service}: {_name(part)} did not start: {error or type(error).__name__}"
            ) from error
        else:
            return not stopping.is_set()
        if stopping.is_set():
            return False


async def _stop(
    touched: Sequence[Part], budget: float, within: float, log: structlog.typing.FilteringBoundLogger
) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    for part in reversed(touched):
        await _stop_part(part, min(budget, max(_STOP_LEAST, end - loop.time())), log)


async def _stop_part(part: Part, seconds: float, log: structlog.typing.FilteringBoundLogger) -> None:
    try:
        async with asyncio.timeout(seconds):
            await part.stop()
    except TimeoutError:
        log.warning("part left behind: it did not stop in time", part=_name(part), budget_s=seconds)
    except Exception:  # one part's error must not keep the others from stopping
        log.exception("part did not stop cleanly", part=_name(part))


def _name(part: object) -> str:
    return type(part).__name__


class Tasks:
    """A `Part` of background tasks: restarted (with growing pauses) when they die, logged, ended at stop.

    Each task is an async function without arguments. Those added after the start run at once.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger(__name__)
        self._repeated: list[tuple[float, Callable[[], Awaitable[object]], str]] = []
        self._running: list[asyncio.Task[None]] = []
        self._started = False

    def every(self, seconds: float, fn: Callable[[], Awaitable[object]], name: str) -> Tasks:
        """Call `fn` now, and again `seconds` after each end; a round that raises is logged and repeated."""

        self._repeated.append((seconds, fn, name))
        if self._started:
            self._begin(seconds, fn, name)
        return self

    async def start(self) -> None:
        if not self._started:
            self._started = True
            for each in self._repeated:
                self._begin(*each)

    async def stop(self) -> None:
        self._started = False
        running, self._running = self._running, []
        await end(*running)

    def _begin(self, seconds: float, fn: Callable[[], Awaitable[object]], name: str) -> None:
        self._running.append(asyncio.create_task(self._repeat(seconds, fn, name), name=name))

    async def _repeat(self, seconds: float, fn: Callable[[], Awaitable[object]], name: str) -> None:
        pause = RESTART_FIRST
        while True:
            began = self._clock.monotonic()
            try:
                while True:
                    await fn()
                    await self._pause(seconds)
            except Exception:  # noqa: BLE001  # nobody awaits a background task: the log is the only place
                self._log.exception("background task died", task=name, again_in_s=pause)
            if self._clock.monotonic() - began > RESTART_LONGEST:
                pause = RESTART_FIRST  # it had worked for a while: this is another problem
            await self._pause(pause)
            pause = min(pause * 2, RESTART_LONGEST)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless it was stopped meanwhile: a round may have swallowed that it was cancelled.

        `asyncio.wait_for` does so before Python 3.12, and nats-py waits for every answer with it.
        """
        if not self._started:
            raise asyncio.CancelledError
        await self._clock.sleep(seconds)
