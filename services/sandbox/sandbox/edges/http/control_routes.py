"""Serves the routes under `/sandbox`, which tests and operators use: charges, predictions, faults, clock."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.faults import FAULTS, FaultRules
from sandbox.core.predictions.domain.charges import report
from sandbox.core.predictions.domain.prediction import to_record, to_rfc3339
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import PredictionRunner
from sandbox.edges.http.responses import Refused, json_body, not_found


@dataclass(frozen=True)
class ControlRoutes:
    runner: PredictionRunner
    store: Store
    clock: SandboxClock
    rules: FaultRules

    def routes(self) -> list[Route]:
        return [
            Route("/sandbox/ledger", self.ledger, methods=["GET"]),
            Route("/sandbox/predictions", self.predictions, methods=["GET"]),
            Route("/sandbox/faults", self.faults, methods=["GET"]),
            Route("/sandbox/faults", self.add_fault, methods=["POST"]),
            Route("/sandbox/faults", self.clear_faults, methods=["DELETE"]),
            Route("/sandbox/faults/{id}", self.clear_fault, methods=["DELETE"]),
            Route("/sandbox/clock", self.show_clock, methods=["GET"]),
            Route("/sandbox/clock", self.set_clock, methods=["POST"]),
        ]

    async def ledger(self, request: Request) -> Response:
        return JSONResponse(report(self.store.charges()))

    async def predictions(self, request: Request) -> Response:
        """The records, newest first, each with the fault that it was given."""
        found = self.store.page(limit=100_000, before=None, created_after=None, created_before=None)
        return JSONResponse({"predictions": [to_record(self.runner.current(p)) for p in found]})

    async def faults(self, request: Request) -> Response:
        known = {name: {"phase": fault.phase, "effect": fault.effect} for name, fault in FAULTS.items()}
        return JSONResponse({"rules": [asdict(rule) for rule in self.rules.rules], "known": known})

    async def add_fault(self, request: Request) -> Response:
        body = await json_body(request)
        try:
            return JSONResponse(asdict(self.rules.add(body)), 201)
        except ValueError as error:
            raise Refused(422, str(error), "Invalid fault") from error

    async def clear_faults(self, request: Request) -> Response:
        return JSONResponse({"removed": self.rules.clear()})

    async def clear_fault(self, request: Request) -> Response:
        removed = self.rules.clear(request.path_params["id"])
        if not removed:
            raise not_found("Fault")
        return JSONResponse({"removed": removed})

    async def show_clock(self, request: Request) -> Response:
        return JSONResponse(
            {
                "now": to_rfc3339(self.clock.now()),
                "virtual": self.clock.virtual,
                "offset_s": self.clock.offset,
            }
        )

    async def set_clock(self, request: Request) -> Response:
        """The body: `{"virtual": true|false}` and/or `{"advance": seconds}`."""
        body = await json_body(request)
        virtual, advance = body.get("virtual"), body.get("advance", 0)
        if virtual not in (None, True, False) or not isinstance(advance, (int, float)) or advance < 0:
            raise Refused(
                422, "give `virtual` (true or false) and/or `advance` (seconds, 0 or more)", "Invalid clock"
            )
        if virtual is True:
            self.clock.stop_time()
        elif virtual is False:
            self.clock.run_time()
        if advance:
            self.clock.advance(float(advance))
        frozen_at = to_rfc3339(self.clock.now()) if self.clock.virtual else None
        self.store.save_setting("clock", {"offset": self.clock.offset, "frozen_at": frozen_at})
        return await self.show_clock(request)
