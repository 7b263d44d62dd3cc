"""Serves predictions: create (by version, by model), read, list, cancel."""

from __future__ import annotations

from dataclasses import dataclass
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
from sandbox.core.predictions.domain.request_headers import cancel_after_seconds, wait_seconds
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import PredictionRunner
from sandbox.edges.http.fault_responses import FaultResponses, throttled
from sandbox.edges.http.responses import (
    base_url,
    cursor_position,
    invalid_input,
    json_body,
    not_found,
    page,
    problem,
    unknown_version,
)

JSON = dict[str, Any]
PAGE = 100


@dataclass(frozen=True)
class CreateOptions:
    """What a create has beside its input. `wait`: seconds; None: it does not wait."""

    webhook: str | None
    events: tuple[str, ...]
    cancel_after: int | None
    wait: float | None


class PredictionRoutes:
    def __init__(
        self,
        runner: PredictionRunner,
        store: Store,
        catalog: ModelCatalog,
        clock: SandboxClock,
        fault_responses: FaultResponses,
        bucket: TokenBucket,
    ) -> None:
        self._runner = runner
        self._store = store
        self._catalog = catalog
        self._clock = clock
        self._fault_responses = fault_responses
        self._bucket = bucket

    def routes(self) -> list[Route]:
        return [
            Route("/v1/predictions", self.create, methods=["POST"]),
            Route("/v1/predictions", self.list, methods=["GET"]),
            Route("/v1/predictions/{id}", self.get, methods=["GET"]),
            Route("/v1/predictions/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/models/{owner}/{name}/predictions", self.create_official, methods=["POST"]),
        ]

    def api_object(self, prediction: Prediction, base: str) -> JSON:
        model = self._catalog.model(prediction.model)
        return api_object(
            prediction, self._clock.now(), base=base, official=model is not None and model.official
        )

    async def create(self, request: Request) -> Response:
        body = await json_body(request)
        if isinstance(body, Response):
            return body
        version = body.get("version")
        if not isinstance(version, str):
            return problem(422, "- version is required\n", "Invalid request body")
        model = self._catalog.for_version(version)
        name = model.full_name if model else None
        # An official model runs by its name. With a version it is accepted, and fails before it starts.
        fault = "E9828" if model is not None and model.official and version != name else None
        return await self._fault_responses.apply(
            "create", name, lambda: self._create(request, body, model, unknown_version(), fault)
        )

    async def create_official(self, request: Request) -> Response:
        body = await json_body(request)
        if isinstance(body, Response):
            return body
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        model = self._catalog.model(name)
        if model is not None and not model.official:
            model = None
        missing = problem(404, "The requested resource could not be found.")
        return await self._fault_responses.apply(
            "create", name, lambda: self._create(request, body, model, missing)
        )

    async def _create(
        self,
        request: Request,
        body: JSON,
        model: Model | None,
        missing: Response,
        fault: str | None = None,
    ) -> Response:
        if model is None:
            return missing
        admission = self._bucket.take(self._clock.monotonic())
        if admission.wait_s:
            return throttled(
                f"Request was throttled. Your rate limit resets in ~{admission.wait_s}s.",
                admission.wait_s,
                header=True,
                body=True,
            )
        given = body.get("input")
        if not isinstance(given, dict):
            return problem(422, "- input is required and must be an object\n", "Invalid request body")
        value, problems = validate_input(given, model.openapi)
        if problems:
            return invalid_input(problems)
        options = _options(request, body)
        if isinstance(options, Response):
            return options
        prediction = self._runner.create(
            model,
            value,
            base=base_url(request),
            webhook=options.webhook,
            events=options.events,
            cancel_after=options.cancel_after,
            fault=fault,
        )
        status = 201
        if options.wait is not None:
            prediction = await self._runner.wait(prediction.id, options.wait)
            status = 201 if prediction.is_final else 202
        shown = self.api_object(prediction, base_url(request))
        if options.wait is not None and not prediction.is_final:
            # The real provider says `starting`; official clients stop polling at `processing`.
            late = self._fault_responses.sync_processing(model.full_name)
            shown |= {"status": "processing" if late else "starting", "started_at": None}
        headers = {
            "Location": shown["urls"]["get"],
            "ratelimit-remaining": str(admission.remaining),
            "ratelimit-reset": "1",
        }
        if options.wait is not None:
            headers["Preference-Applied"] = request.headers["prefer"]
        return JSONResponse(shown, status, headers=headers)

    async def get(self, request: Request) -> Response:
        found = self._runner.get(request.path_params["id"])

        async def answer() -> Response:
            if found is None:
                return not_found("Prediction")
            return JSONResponse(self.api_object(found, base_url(request)), headers=_read_limits())

        return await self._fault_responses.apply("get", found.model if found else None, answer)

    async def cancel(self, request: Request) -> Response:
        found = self._runner.get(request.path_params["id"])

        async def answer() -> Response:
            ended = self._runner.cancel(request.path_params["id"])
            if ended is None:
                return not_found("Prediction")
            return JSONResponse(self.api_object(ended, base_url(request)), headers=_read_limits())

        return await self._fault_responses.apply("cancel", found.model if found else None, answer)

    async def list(self, request: Request) -> Response:

        async def answer() -> Response:
            try:
                position = cursor_position(request)
                after, before = (_time(request, name) for name in ("created_after", "created_before"))
            except ValueError as error:
                return problem(400, str(error))
            found = self._store.page(
                limit=PAGE + 1, before=position, created_after=after, created_before=before
            )
            shown = [self.api_object(self._runner.current(p), base_url(request)) for p in found[:PAGE]]
            return page(request, shown, found[PAGE - 1].id if len(found) > PAGE else None)

        return await self._fault_responses.apply("list", None, answer)


def _read_limits() -> dict[str, str]:
    """The headers that the real provider sends with reads."""
    return {"ratelimit-remaining": "59999", "ratelimit-reset": "1"}


def _time(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        # A `+` that a client forgot to escape arrives as a space.
        found = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        raise ValueError(f"{name} {given!r} is not an ISO 8601 time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _options(request: Request, body: JSON) -> CreateOptions | Response:
    events = body.get("webhook_events_filter") or []
    if not isinstance(events, list) or any(event not in EVENTS for event in events):
        return problem(
            422, f"- webhook_events_filter: must hold only {', '.join(EVENTS)}\n", "Invalid request body"
        )
    webhook = body.get("webhook") or body.get("webhook_completed")
    if webhook is not None and not isinstance(webhook, str):
        return problem(422, "- webhook: must be a string\n", "Invalid request body")
    cancel_after = None
    if "cancel-after" in request.headers:
        try:
            cancel_after = cancel_after_seconds(request.headers["cancel-after"])
        except ValueError as error:
            return problem(422, str(error), "Invalid header")
    wait = wait_seconds(request.headers["prefer"]) if "prefer" in request.headers else None
    return CreateOptions(webhook, tuple(events), cancel_after, wait)
