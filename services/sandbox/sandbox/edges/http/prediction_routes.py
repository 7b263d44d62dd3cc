"""Predictions over HTTP: create on both routes, read, list, cancel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.core.clock import SandboxClock
from sandbox.core.models.domain.input_validation import read_input
from sandbox.core.models.domain.model import Catalogue, Model
from sandbox.core.predictions.domain.prediction import EVENTS, Prediction, show
from sandbox.core.predictions.domain.rate_limit import Bucket
from sandbox.core.predictions.domain.request_headers import cancel_after_seconds, wait_seconds
from sandbox.core.predictions.ports import Store
from sandbox.core.predictions.prediction_runner import Life
from sandbox.edges.http.fault_responses import Troubles, throttled
from sandbox.edges.http.responses import (
    base_of,
    body_of,
    cursor_of,
    not_found,
    page,
    problem,
    refused_input,
    unknown_version,
)

JSON = dict[str, Any]
PAGE = 100


@dataclass(frozen=True)
class Options:
    """What a create asks for beside its input."""

    webhook: str | None
    events: tuple[str, ...]
    cancel_after: int | None
    wait: float | None


class Predictions:
    """The handlers of `/v1/predictions` and of the model route."""

    def __init__(
        self,
        life: Life,
        store: Store,
        catalogue: Catalogue,
        clock: SandboxClock,
        troubles: Troubles,
        bucket: Bucket,
    ) -> None:
        self._life = life
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._troubles = troubles
        self._bucket = bucket

    def routes(self) -> list[Route]:
        """The routes, to be mounted at the root."""
        return [
            Route("/v1/predictions", self.create, methods=["POST"]),
            Route("/v1/predictions", self.list, methods=["GET"]),
            Route("/v1/predictions/{id}", self.get, methods=["GET"]),
            Route("/v1/predictions/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/v1/models/{owner}/{name}/predictions", self.create_official, methods=["POST"]),
        ]

    def shown(self, prediction: Prediction, base: str) -> JSON:
        """The API's object for a prediction, with addresses under `base`."""
        model = self._catalogue.model(prediction.model)
        return show(prediction, self._clock.now(), base=base, official=model is not None and model.official)

    async def create(self, request: Request) -> Response:
        """POST /v1/predictions with `version`: 64 hex digits, `owner/name:hex`, official `owner/name`."""
        body = await body_of(request)
        if isinstance(body, Response):
            return body
        version = body.get("version")
        if not isinstance(version, str):
            return problem(422, "- version is required\n", "Invalid request body")
        model = self._catalogue.for_version(version)
        name = model.full_name if model else None
        # Official models run by their name: with a version they are taken, and fail before they start.
        fault = "E9828" if model is not None and model.official and version != name else None
        return await self._troubles.around(
            "create", name, lambda: self._create(request, body, model, unknown_version(), fault)
        )

    async def create_official(self, request: Request) -> Response:
        """POST /v1/models/{owner}/{name}/predictions: official models only."""
        body = await body_of(request)
        if isinstance(body, Response):
            return body
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        model = self._catalogue.model(name)
        if model is not None and not model.official:
            model = None
        missing = problem(404, "The requested resource could not be found.")
        return await self._troubles.around(
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
        limit = self._bucket.take(self._clock.monotonic())
        if limit.wait_s:
            return throttled(
                f"Request was throttled. Your rate limit resets in ~{limit.wait_s}s.",
                limit.wait_s,
                header=True,
                body=True,
            )
        given = body.get("input")
        if not isinstance(given, dict):
            return problem(422, "- input is required and must be an object\n", "Invalid request body")
        value, problems = read_input(given, model.openapi)
        if problems:
            return refused_input(problems)
        options = _options(request, body)
        if isinstance(options, Response):
            return options
        prediction = self._life.create(
            model,
            value,
            base=base_of(request),
            webhook=options.webhook,
            events=options.events,
            cancel_after=options.cancel_after,
            fault=fault,
        )
        status = 201
        if options.wait is not None:
            prediction = await self._life.wait(prediction.id, options.wait)
            status = 201 if prediction.done else 202
        shown = self.shown(prediction, base_of(request))
        if options.wait is not None and not prediction.done:
            # Official clients go on polling only when they read `starting`.
            late = self._troubles.sync_processing(model.full_name)
            shown |= {"status": "processing" if late else "starting", "started_at": None}
        headers = {
            "Location": shown["urls"]["get"],
            "ratelimit-remaining": str(limit.remaining),
            "ratelimit-reset": "1",
        }
        if options.wait is not None:
            headers["Preference-Applied"] = request.headers["prefer"]
        return JSONResponse(shown, status, headers=headers)

    async def get(self, request: Request) -> Response:
        """GET /v1/predictions/{id}."""
        found = self._life.get(request.path_params["id"])

        async def answer() -> Response:
            if found is None:
                return not_found("Prediction")
            return JSONResponse(self.shown(found, base_of(request)), headers=_cheap())

        return await self._troubles.around("get", found.model if found else None, answer)

    async def cancel(self, request: Request) -> Response:
        """POST /v1/predictions/{id}/cancel; one that has ended is answered as it is."""
        found = self._life.get(request.path_params["id"])

        async def answer() -> Response:
            ended = self._life.cancel(request.path_params["id"])
            if ended is None:
                return not_found("Prediction")
            return JSONResponse(self.shown(ended, base_of(request)), headers=_cheap())

        return await self._troubles.around("cancel", found.model if found else None, answer)

    async def list(self, request: Request) -> Response:
        """GET /v1/predictions: newest first, 100 a page."""

        async def answer() -> Response:
            try:
                position = cursor_of(request)
                after, before = (_time(request, name) for name in ("created_after", "created_before"))
            except ValueError as trouble:
                return problem(400, str(trouble))
            found = self._store.page(
                limit=PAGE + 1, before=position, created_after=after, created_before=before
            )
            shown = [self.shown(self._life.current(p), base_of(request)) for p in found[:PAGE]]
            return page(request, shown, found[PAGE - 1].id if len(found) > PAGE else None)

        return await self._troubles.around("list", None, answer)


def _cheap() -> dict[str, str]:
    """The headers seen on reads."""
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


def _options(request: Request, body: JSON) -> Options | Response:
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
        except ValueError as trouble:
            return problem(422, str(trouble), "Invalid header")
    wait = wait_seconds(request.headers["prefer"]) if "prefer" in request.headers else None
    return Options(webhook, tuple(events), cancel_after, wait)
