"""Serves the routes under `/sandbox`, which tests and operators use: charges, predictions, faults, clock."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FAULTS, FaultRules
from sandbox.core.predictions.domain.charges import report
from sandbox.core.predictions.domain.prediction import to_record, to_rfc3339
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import PredictionRunner
from sandbox.edges.http.responses import json_body, not_found, problem


class ControlRoutes:
    def __init__(
        self, runner: PredictionRunner, store: Store, clock: SandboxClock, faults: FaultRules
    ) -> None:
        self._runner = runner
        self._store = store
        self._clock = clock
        self._faults = faults

    def routes(self) -> list[Route]:
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
        return JSONResponse(report(self._store.charges()))

    async def predictions(self, request: Request) -> Response:
        """The records, newest first, each with the fault that it was given."""
        found = self._store.page(limit=100_000, before=None, created_after=None, created_before=None)
        return JSONResponse({"predictions": [to_record(self._runner.current(p)) for p in found]})

    async def faults(self, request: Request) -> Response:
        known = {name: {"phase": fault.phase, "effect": fault.effect} for name, fault in FAULTS.items()}
        return JSONResponse({"rules": [asdict(rule) for rule in self._faults.rules], "known": known})

    async def add_fault(self, request: Request) -> Response:
        body = await json_body(request)
        if isinstance(body, Response):
            return body
        try:
            return JSONResponse(asdict(self._faults.add(body)), 201)
        except ValueError as error:
            return problem(422, str(error), "Invalid fault")

    async def clear_faults(self, request: Request) -> Response:
        return JSONResponse({"removed": self._faults.clear()})

    async def clear_fault(self, request: Request) -> Response:
        removed = self._faults.clear(request.path_params["id"])
        return JSONResponse({"removed": removed}) if removed else not_found("Fault")

    async def clock(self, request: Request) -> Response:
        return self._clock_json()

    async def set_clock(self, request: Request) -> Response:
        """The body: `{"virtual": true|false}` and/or `{"advance": seconds}`."""
        body = await json_body(request)
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
        self._store.save_setting(
            "clock",
            {
                "offset": self._clock.offset,
                "frozen_at": to_rfc3339(self._clock.now()) if self._clock.virtual else None,
            },
        )
        return self._clock_json()

    def _clock_json(self) -> Response:
        return JSONResponse(
            {
                "now": to_rfc3339(self._clock.now()),
                "virtual": self._clock.virtual,
                "offset_s": self._clock.offset,
            }
        )
