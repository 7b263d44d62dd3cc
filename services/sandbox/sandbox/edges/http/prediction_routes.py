"""Serves predictions: create (by version, by model), read, list, cancel."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.models.domain.input_validation import validate_input
from sandbox.core.models.domain.model import Model, ModelCatalog
from sandbox.core.predictions.domain.prediction import EVENTS, Prediction, api_object
from sandbox.core.predictions.domain.rate_limit import TokenBucket
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import PredictionRunner
from sandbox.edges.http.fault_responses import FaultResponses, throttled
from sandbox.edges.http.responses import (
    Refused,
    base_url,
    cursor_position,
    full_name,
    json_body,
    not_found,
    page,
)

JSON = dict[str, Any]
PAGE = 100
_READ_LIMITS = {"ratelimit-remaining": "59999", "ratelimit-reset": "1"}
"""The headers that the real provider sends with reads."""

_WAIT = re.compile(r"^wait(?:=([1-9]|[1-5][0-9]|60))?$")
_SPAN = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$")
SHORTEST_S, LONGEST_S = 5, 24 * 3600


@dataclass(frozen=True)
class PredictionRoutes:
    runner: PredictionRunner
    store: Store
    catalog: ModelCatalog
    clock: SandboxClock
    fault_responses: FaultResponses
    bucket: TokenBucket

    def routes(self) -> list[Route]:
        return [
            Route("/v1/predictions", self.create, methods=["POST"]),
            Route("/v1/predictions", self.fault_responses.around("list", self.list), methods=["GET"]),
            Route("/v1/predictions/{id}", self.get, methods=["GET"]),
            Route("/v1/predictions/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/models/{owner}/{name}/predictions", self.create_official, methods=["POST"]),
        ]

    def api_object(self, prediction: Prediction, base: str) -> JSON:
        official = self.catalog.is_official(prediction.model)
        return api_object(prediction, self.clock.now(), base=base, official=official)

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        version = body.get("version")
        if not isinstance(version, str):
            raise _wrong_body("version is required")
        model = self.catalog.for_version(version)
        name = model.full_name if model else None
        # An official model runs by its name. With a version it is accepted, and fails before it starts.
        fault = "E9828" if model is not None and model.official and version != name else None
        # It does not exist, is `latest`, or belongs to another model.
        missing = Refused(
            422,
            "The specified version does not exist (or perhaps you don't have permission to use it?)",
            "Invalid version or not permitted",
        )
        return await self.fault_responses.apply(
            "create", name, lambda: self._create(request, body, model, missing, fault)
        )

    async def create_official(self, request: Request) -> Response:
        body = await json_body(request)
        name = full_name(request)
        model = self.catalog.model(name) if self.catalog.is_official(name) else None
        missing = Refused(404, "The requested resource could not be found.")
        return await self.fault_responses.apply(
            "create", name, lambda: self._create(request, body, model, missing)
        )

    async def _create(
        self, request: Request, body: JSON, model: Model | None, missing: Refused, fault: str | None = None
    ) -> Response:
        if model is None:
            raise missing
        admission = self.bucket.take(self.clock.monotonic())
        if wait := admission.wait_s:
            detail = f"Request was throttled. Your rate limit resets in ~{wait}s."
            return throttled(detail, wait, header=True, body=True)
        given = body.get("input")
        if not isinstance(given, dict):
            raise _wrong_body("input is required and must be an object")
        value, problems = validate_input(given, model.openapi)
        if problems:
            lines = "".join(f"- {p.field}: {p.description}\n" for p in problems)
            fields = [asdict(p) for p in problems]
            raise Refused(422, lines, "Input validation failed", invalid_fields=fields)
        webhook, events = _webhook(body)
        cancel_after = _cancel_after(request)
        prediction = self.runner.create(
            model,
            value,
            base=base_url(request),
            webhook=webhook,
            events=events,
            cancel_after=cancel_after,
            fault=fault,
        )
        headers = {"ratelimit-remaining": str(admission.remaining), "ratelimit-reset": "1"}
        seconds, status = wait_seconds(request.headers.get("prefer", "")), 201
        if seconds is not None:
            prediction = await self.runner.wait(prediction.id, seconds)
            headers["Preference-Applied"] = request.headers["prefer"]
        shown = self.api_object(prediction, base_url(request))
        if seconds is not None and not prediction.is_final:
            # The real provider says `starting`; official clients stop polling at `processing`.
            late = self.fault_responses.sync_processing(model.full_name)
            shown |= {"status": "processing" if late else "starting", "started_at": None}
            status = 202
        return JSONResponse(shown, status, headers={"Location": shown["urls"]["get"], **headers})

    async def get(self, request: Request) -> Response:
        found = self.runner.get(request.path_params["id"])

        async def answer() -> Response:
            return self._shown(request, found)

        return await self.fault_responses.apply("get", found.model if found else None, answer)

    async def cancel(self, request: Request) -> Response:
        found = self.runner.get(request.path_params["id"])

        async def answer() -> Response:
            return self._shown(request, self.runner.cancel(request.path_params["id"]))

        return await self.fault_responses.apply("cancel", found.model if found else None, answer)

    async def list(self, request: Request) -> Response:
        found = self.store.page(
            limit=PAGE + 1,
            before=cursor_position(request),
            created_after=_time(request, "created_after"),
            created_before=_time(request, "created_before"),
        )
        shown = [self.api_object(self.runner.current(p), base_url(request)) for p in found[:PAGE]]
        return page(request, shown, found[PAGE - 1].id if len(found) > PAGE else None)

    def _shown(self, request: Request, prediction: Prediction | None) -> Response:
        if prediction is None:
            raise not_found("Prediction")
        return JSONResponse(self.api_object(prediction, base_url(request)), headers=_READ_LIMITS)


def _time(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        # A `+` that a client forgot to escape arrives as a space.
        found = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        raise Refused(400, f"{name} {given!r} is not an ISO 8601 time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _webhook(body: JSON) -> tuple[str | None, tuple[str, ...]]:
    """The address, and the events that are sent there."""
    events = body.get("webhook_events_filter") or []
    if not isinstance(events, list) or any(event not in EVENTS for event in events):
        raise _wrong_body(f"webhook_events_filter: must hold only {', '.join(EVENTS)}")
    webhook = body.get("webhook") or body.get("webhook_completed")
    if webhook is not None and not isinstance(webhook, str):
        raise _wrong_body("webhook: must be a string")
    return webhook, tuple(events)


def _cancel_after(request: Request) -> int | None:
    given = request.headers.get("cancel-after")
    try:
        return None if given is None else cancel_after_seconds(given)
    except ValueError as error:
        raise Refused(422, str(error), "Invalid header") from error


def _wrong_body(what: str) -> Refused:
    return Refused(422, f"- {what}\n", "Invalid request body")


def wait_seconds(value: str) -> float | None:
    """How long a create waits for its end: 1 to 60 seconds, 60 for a bare `wait`; None: it does not wait."""
    found = _WAIT.match(value.strip())
    if not found:
        return None
    return float(found.group(1) or 60)


def cancel_after_seconds(value: str) -> int:
    """Seconds of a duration such as `30`, `30s`, `5m`, `2h` or `1h30m45s`.

    Raises:
        ValueError: not of that form, or outside 5 seconds to 24 hours.
    """
    found = _SPAN.match(value.strip())
    if not found or not value.strip():
        raise ValueError(f"Cancel-After {value!r} is not a duration such as 30, 30s, 5m or 1h30m45s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not SHORTEST_S <= total <= LONGEST_S:
        raise ValueError(f"Cancel-After {value!r} must be between 5 seconds and 24 hours")
    return total
