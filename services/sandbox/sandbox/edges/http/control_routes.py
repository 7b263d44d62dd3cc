"""The routes under `/sandbox`: the ledger, raw predictions, faults, and the clock."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import KINDS, FaultBook
from sandbox.core.predictions.domain.charges import report
from sandbox.core.predictions.domain.prediction import stamp, to_record
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import Life
from sandbox.edges.http.responses import body_of, not_found, problem


class Control:
    """What tests and operators turn; no part of the provider's API."""

    def __init__(self, life: Life, store: Store, clock: SandboxClock, faults: FaultBook) -> None:
        self._life = life
        self._store = store
        self._clock = clock
        self._faults = faults

    def routes(self) -> list[Route]:
        """The routes, to be mounted at the root."""
        return [
            Route("/sandbox/ledger", self.ledger, methods=["GET"]),
            Route("/sandbox/predictions", self.predictions, methods=["GET"]),
            Route("/sandbox/faults", self.faults, methods=["GET"]),
            Route("/sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/sandbox/faults/{id}", self.clear_fault, methods=["DELETE"]),
            Route("/sandbox/clock", self.clock, methods=["GET"]),
            Route("/sandbox/clock", self.set_clock, methods=["POST"]),
        ]

    async def ledger(self, request: Request) -> Response:
        """GET /sandbox/ledger: every charge, and totals."""
        return JSONResponse(report(self._store.charges()))

    async def predictions(self, request: Request) -> Response:
        """GET /sandbox/predictions: the stored records, newest first, with the fault each one drew."""
        found = self._store.page(limit=100_000, before=None, created_after=None, created_before=None)
        return JSONResponse({"predictions": [to_record(self._life.current(p)) for p in found]})

    async def faults(self, request: Request) -> Response:
        """GET /sandbox/faults: the rules in force and every fault there is."""
        kinds = {name: {"phase": kind.phase, "effect": kind.effect} for name, kind in KINDS.items()}
        return JSONResponse({"rules": [asdict(rule) for rule in self._faults.rules], "known": kinds})

    async def add_fault(self, request: Request) -> Response:
        """POST /sandbox/faults."""
        body = await body_of(request)
        if isinstance(body, Response):
            return body
        try:
            return JSONResponse(asdict(self._faults.add(body)), 201)
        except ValueError as trouble:
            return problem(422, str(trouble), "Invalid fault")

    async def clear_faults(self, request: Request) -> Response:
        """DELETE /sandbox/faults."""
        return JSONResponse({"removed": self._faults.clear()})

    async def clear_fault(self, request: Request) -> Response:
        """DELETE /sandbox/faults/{id}."""
        removed = self._faults.clear(request.path_params["id"])
        return JSONResponse({"removed": removed}) if removed else not_found("Fault")

    async def clock(self, request: Request) -> Response:
        """GET /sandbox/clock."""
        return self._clock_json()

    async def set_clock(self, request: Request) -> Response:
        """POST /sandbox/clock with `{"virtual": true|false}` and/or `{"advance": seconds}`."""
        body = await body_of(request)
        if isinstance(body, Response):
            return body
        virtual, advance = body.get("virtual"), body.get("advance", 0)
        if virtual not in (None, True, False) or not isinstance(advance, (int, float)) or advance < 0:
            return problem(
                422, "give `virtual` (true or false) and/or `advance` (seconds, 0 or more)", "Invalid clock"
            )
        if virtual is True:
            self._clock.stop_time()
        elif virtual is False:
            self._clock.run_time()
        if advance:
            self._clock.advance(float(advance))
        self._store.put_setting(
            "clock",
            {
                "offset": self._clock.offset,
                "frozen_at": stamp(self._clock.now()) if self._clock.virtual else None,
            },
        )
        return self._clock_json()

    def _clock_json(self) -> Response:
        return JSONResponse(
            {"now": stamp(self._clock.now()), "virtual": self._clock.virtual, "offset_s": self._clock.offset}
        )
