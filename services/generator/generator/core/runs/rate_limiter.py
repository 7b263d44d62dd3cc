"""Limits submissions over all replicas: spacing, waits after a 429, and a circuit breaker for 401 and 402."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from generator.core.runs.domain import rate_limit_state as limits
from generator.core.runs.domain.rate_limit_state import RateLimitState, StartDenied, StartGranted
from servicekit.clock import Clock
from servicekit.errors import Limited, Unavailable

_TRIES = 50


class SharedCell(Protocol):
    """One small JSON value that all replicas share."""

    async def read(self) -> tuple[Any, int]:
        """The value (None when unset) and its revision."""
        ...

    async def write(self, value: Any, revision: int) -> bool:
        """Set it if it still is at that revision; whether it was."""
        ...


class OperatorLog(Protocol):
    """What operators read."""

    def note(self, event: str, **details: object) -> None:
        """Worth knowing."""
        ...

    def alarm(self, event: str, **details: object) -> None:
        """Somebody has to act."""
        ...

    def show_limits(self, *, spacing: float, blocked: float) -> None:
        """Seconds between two starts, and seconds until the provider lets us start again, as they are now."""
        ...

    def show_waiting(self, count: int) -> None:
        """How many callers in this process wait for their start now."""
        ...


class RateLimiter:
    """Says when runs may be submitted, over all replicas. A `Part`.

    Args:
        cell: where the state lies.
        clock: ours; replicas' clocks may differ by less than `delay`.
        operators: read once from each process that the breaker is tripped, and that it is reset.
        delay: seconds between two starts over all replicas.
        probe_every: seconds between two probes while the breaker is tripped.
        patience: seconds that a caller may be kept waiting; longer waits are `Limited`.
    """

    def __init__(
        self,
        cell: SharedCell,
        clock: Clock,
        operators: OperatorLog,
        *,
        delay: float,
        probe_every: float = 30.0,
        patience: float = 30.0,
    ) -> None:
        self._cell = cell
        self._clock = clock
        self._operators = operators
        self._delay = delay
        self._patience = patience
        self._changing = asyncio.Lock()
        self._reported_tripped = False
        self._waiting = 0
        self.probe_every = probe_every

    async def start(self) -> None:
        """Let the next caller probe at once: whoever restarted us may have put the token right."""
        await self._update(lambda state: RateLimitState(tripped=state.tripped) if state.tripped else state)

    async def stop(self) -> None:
        """Nothing to release."""

    async def acquire(self) -> StartGranted:
        """Wait for the next start. Limited when the breaker is tripped, or the wait is long."""
        self._waiting += 1
        self._operators.show_waiting(self._waiting)
        try:
            return await self._acquire()
        finally:
            self._waiting -= 1
            self._operators.show_waiting(self._waiting)

    async def _acquire(self) -> StartGranted:
        while True:
            answer: StartGranted | StartDenied = await self._change(self._take_start)
            if isinstance(answer, StartDenied):
                raise Limited(
                    f"no submission now: {answer.reason}", retry_after=answer.wait, code="rate_limited"
                )
            await self._clock.sleep(answer.wait)
            # While we slept the provider may have answered 429, 401 or 402 to another.
            if answer.probe or answer.wait <= 0 or limits.may_start(await self._state(), self._now()):
                return answer

    async def block(self, wait: float, spacing: float) -> None:
        """After a 429: nobody starts for `wait` seconds; then `spacing` seconds apart, when that is not 0."""
        await self._update(lambda state: limits.block(state, self._now(), wait=wait, spacing=spacing))
        self._operators.note("provider_limited", wait_s=round(wait, 1), spacing_s=spacing)

    async def trip(self, reason: str) -> None:
        """After a 401 or 402: nobody starts until a probe succeeds."""
        await self._update(
            lambda state: limits.trip(state, self._now(), reason=reason, probe_every=self.probe_every)
        )

    async def reset(self) -> None:
        """A probe has succeeded."""
        await self._update(limits.reset)

    async def tripped(self) -> str:
        """Why nothing may be submitted, as the replicas share it; empty when it may."""
        return (await self._state()).tripped

    def _report(self, state: RateLimitState) -> RateLimitState:
        """Report the limits, and what became of the breaker since this process last read it."""
        now = self._now()
        self._operators.show_limits(
            spacing=limits.spacing_at(state, now, delay=self._delay),
            blocked=limits.blocked_for_at(state, now),
        )
        if bool(state.tripped) != self._reported_tripped:
            self._reported_tripped = bool(state.tripped)
            if state.tripped:
                self._operators.alarm("breaker_opened", reason=state.tripped)
            else:
                self._operators.note("breaker_closed")
        return state

    def _take_start(self, state: RateLimitState) -> tuple[RateLimitState, StartGranted | StartDenied]:
        return limits.take_start(
            state, self._now(), delay=self._delay, probe_every=self.probe_every, patience=self._patience
        )

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _state(self) -> RateLimitState:
        return self._report(RateLimitState.load((await self._cell.read())[0]))

    async def _update(self, update: Callable[[RateLimitState], RateLimitState]) -> None:
        await self._change(lambda state: (update(state), None))

    async def _change(self, decide: Callable[[RateLimitState], tuple[RateLimitState, Any]]) -> Any:
        """Read, decide, write if unchanged; again while others were faster."""
        async with self._changing:  # one at a time in this process: only replicas race
            for _ in range(_TRIES):
                raw, revision = await self._cell.read()
                state = RateLimitState.load(raw)
                decided, answer = decide(state)
                if decided == state or await self._cell.write(decided.dump(), revision):
                    self._report(decided)
                    return answer
        raise Unavailable(f"the rate limit state was changed by others {_TRIES} times in a row; trying later")
