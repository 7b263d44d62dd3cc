"""Replicate's predictions over HTTP: buying, asking, listing, stopping; every failure in a closed set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from generator.adapters.replicate_client import Api, headers_of, within
from generator.adapters.runs import replicate_list
from generator.core.runs.domain import prediction, provider_errors
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Accepted, Outcome, Refusal, Refused, Unknown
from generator.core.runs.ports import Order
from servicekit import telemetry
from servicekit.clock import Clock
from servicekit.errors import Forbidden, Invalid, NotFound, Unavailable

_CANCEL_AFTER = (5, 24 * 3600)
_UNSURE = (408, 425, 499)
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)
SECRET_TTL = 3600.0


@dataclass(frozen=True)
class Uploaded:
    """A file at the provider: the address that goes into an input, and until when it lives."""

    address: str
    expires_at: datetime | None


class HttpProvider:
    """A `Provider` that speaks Replicate's API (docs/provider.md)."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._secret: tuple[str, float] | None = None
        self._secret_lock = asyncio.Lock()

    async def create(self, order: Order, *, timeout: float) -> Outcome:  # noqa: ASYNC109  # part of the port
        """Buy a run: official models by the model route, community models by version."""
        path, body = _create_request(order)
        low, high = _CANCEL_AFTER
        headers = {"cancel-after": f"{int(min(max(order.deadline, low), high))}s"}
        try:
            response = await within(
                timeout, self._api.send("POST", path, json=body, headers=headers, timeout=timeout)
            )
        except _NEVER_SENT as error:
            return Refused(0, f"the provider cannot be reached ({type(error).__name__})", Refusal.UNREACHED)
        except (httpx.HTTPError, TimeoutError) as error:
            return Unknown(f"{type(error).__name__} after sending")
        return _outcome(response)

    async def get(self, prediction_id: str) -> Prediction:
        """One run."""
        raw = await self._api.read(_path(prediction_id))
        found = prediction.read(raw)
        if found is None:
            raise Unavailable(f"the provider's answer for prediction {prediction_id} is none")
        return found

    async def since(
        self, moment: datetime, keep: Callable[[Prediction], bool] = lambda _: True
    ) -> list[Prediction]:
        """The runs created since then that are to be kept: `prediction_list.since`."""
        return await replicate_list.since(self._api, self._clock, moment, keep)

    async def cancel(self, prediction_id: str) -> None:
        """Stop a run. What the provider refuses to stop is over: the next look tells."""
        try:
            await self._api.ask("POST", f"{_path(prediction_id)}/cancel")
        except (NotFound, Invalid, Forbidden):
            return

    async def webhook_secret(self, *, fresh: bool = False) -> str:
        """The key of the provider's webhook signatures, remembered for an hour."""
        async with self._secret_lock:
            now = self._clock.monotonic()
            if self._secret is None or fresh or now >= self._secret[1]:
                raw = await self._api.read("/v1/webhooks/default/secret")
                key = raw.get("key") if isinstance(raw, Mapping) else None
                if not isinstance(key, str) or not key:
                    raise Unavailable("the provider gave no webhook secret")
                self._secret = (key, now + SECRET_TTL)
            return self._secret[0]

    async def upload(self, data: bytes, *, name: str, content_type: str) -> Uploaded:
        """Put a file where the provider's models can read it."""
        raw = await self._api.ask(
            "POST", "/v1/files", files={"content": (name, data, content_type)}, timeout=120.0
        )
        urls = raw.get("urls") if isinstance(raw, Mapping) else None
        address = urls.get("get") if isinstance(urls, Mapping) else None
        if not isinstance(address, str) or not address:
            raise Unavailable(f"the provider gave no address for the uploaded file {name}")
        return Uploaded(address, prediction.when(raw.get("expires_at")))


def _create_request(order: Order) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"input": dict(order.input)}
    if order.webhook:
        body |= {"webhook": _traced(order.webhook), "webhook_events_filter": ["completed"]}
    if order.version:
        return "/v1/predictions", {"version": order.version, **body}
    owner, _, name = order.model.partition("/")
    return f"/v1/models/{quote(owner, safe='')}/{quote(name, safe='')}/predictions", body


def _traced(webhook: str) -> str:
    """The address with the trace in it, so that the call that comes back is part of what caused it."""
    context = telemetry.inject().get("traceparent")
    return f"{webhook}?traceparent={context}" if context else webhook


def _path(prediction_id: str) -> str:
    return f"/v1/predictions/{quote(prediction_id, safe='')}"


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if response.is_success:
        try:
            accepted = prediction.read(response.json())
        except ValueError:
            accepted = None
        return Accepted(accepted) if accepted else Unknown(f"{status} without a readable prediction")
    if 400 <= status < 500 and status not in _UNSURE:
        return provider_errors.refused(status, headers_of(response), response.text)
    return Unknown(f"status {status}")
