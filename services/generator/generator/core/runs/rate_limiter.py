"""The lane to a provider: start spacing, waits after a 429, and the door that 401 and 402 close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from generator.core.runs.domain import rate_limit_state
from generator.core.runs.domain.rate_limit_state import LaneState, NotNow, Turn
from generator.core.runs.ports import Journal
from servicekit.clock import Clock
from servicekit.errors import Limited, Unavailable

_TRIES = 50


class Cell(Protocol):
    """One small JSON value that all replicas share."""

    async def read(self) -> tuple[Any, int]:
        """The value (None when unset) and its revision."""
        ...

    async def write(self, value: Any, revision: int) -> bool:
        """Set it if it still is at that revision; whether it was."""
        ...


class SharedLane:
    """A `Lane` over a shared cell.

    Args:
        cell: where the state lies.
        clock: ours; replicas' clocks may differ by less than `delay`.
        journal: is told once in each process that the lane is closed, and that it is open again.
        delay: seconds between two starts over all replicas.
        probe_every: seconds between two tries while the lane is closed.
        patience: seconds that a caller may be kept waiting; longer waits are `Limited`.
    """

    def __init__(
        self,
        cell: Cell,
        clock: Clock,
        journal: Journal,
        *,
        delay: float,
        probe_every: float = 30.0,
        patience: float = 30.0,
    ) -> None:
        self._cell = cell
        self._clock = clock
        self._journal = journal
        self._delay = delay
        self._patience = patience
        self._ours = asyncio.Lock()
        self._told_closed = False
        self.probe_every = probe_every

    async def turn(self) -> Turn:
        """Wait for the next start; Limited when there is none soon."""
        while True:
            turn: Turn | NotNow = await self._change(self._take)
            if isinstance(turn, NotNow):
                raise Limited(f"no submission now: {turn.reason}", retry_after=turn.wait, code="lane")
            await self._clock.sleep(turn.wait)
            # While we slept the provider may have asked everybody to wait, or closed its door.
            if turn.probe or turn.wait <= 0 or rate_limit_state.holds(await self._state(), self._now()):
                return turn

    async def block(self, wait: float, slow: float) -> None:
        """Nobody starts for `wait` seconds."""
        await self._change(
            lambda state: (rate_limit_state.block(state, self._now(), wait=wait, slow=slow), None)
        )
        self._journal.note("provider_limited", wait_s=round(wait, 1), spacing_s=slow)

    async def close(self, reason: str) -> None:
        """Nobody starts until a probe succeeds."""
        await self._change(
            lambda state: (
                rate_limit_state.close(state, self._now(), reason=reason, probe_every=self.probe_every),
                None,
            )
        )

    async def reopen(self) -> None:
        """A probe has succeeded."""
        await self._change(lambda state: (rate_limit_state.reopen(state), None))

    async def try_now(self) -> None:
        """Let the next caller probe at once: somebody may have mended it while we were away."""

        def soon(state: LaneState) -> tuple[LaneState, None]:
            return (LaneState(closed=state.closed) if state.closed else state), None

        await self._change(soon)

    async def closed(self) -> str:
        """Why nothing may be submitted, as all replicas know it by now; empty when it may."""
        return (await self._state()).closed

    def _notice(self, state: LaneState) -> LaneState:
        """Say what has become of the door since this process last saw it: also what others did to it."""
        if bool(state.closed) != self._told_closed:
            self._told_closed = bool(state.closed)
            if state.closed:
                self._journal.alarm("lane_closed", reason=state.closed)
            else:
                self._journal.note("lane_reopened")
        return state

    def _take(self, state: LaneState) -> tuple[LaneState, Turn | NotNow]:
        return rate_limit_state.take(
            state, self._now(), delay=self._delay, probe_every=self.probe_every, patience=self._patience
        )

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _state(self) -> LaneState:
        return self._notice(LaneState.load((await self._cell.read())[0]))

    async def _change(self, decide: Callable[[LaneState], tuple[LaneState, Any]]) -> Any:
        """Read, decide, write if unchanged; again while others were faster."""
        async with self._ours:  # one at a time in this process: only replicas race
            for _ in range(_TRIES):
                raw, revision = await self._cell.read()
                state = LaneState.load(raw)
                decided, answer = decide(state)
                if decided == state or await self._cell.write(decided.dump(), revision):
                    self._notice(decided)
                    return answer
        raise Unavailable(f"the lane's state was changed by others {_TRIES} times in a row; trying later")
