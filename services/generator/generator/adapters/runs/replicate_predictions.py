"""Creates, reads, lists and cancels Replicate's predictions; every failure is one of a closed set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx

from generator.adapters.replicate_client import ReplicateClient, headers_of
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain.prediction import Prediction, parse_time, read_prediction
from generator.core.runs.domain.provider_errors import (
    Accepted,
    RefusalReason,
    Refused,
    SubmissionOutcome,
    Unknown,
    read_refusal,
)
from servicekit.clock import Clock
from servicekit.errors import Forbidden, Invalid, Limited, NotFound, TimedOut, Unauthenticated, Unavailable
from servicekit.telemetry import traces

_CANCEL_AFTER = (5, 24 * 3600)
_UNSURE = (408, 425, 499)
"""Statuses after which the run may have been taken up all the same."""

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)
SECRET_TTL = 3600.0

_TRIES, _WAIT = 5, 1.0
"""Tries of a page that follows others, and seconds before the second: trouble with one page of many must not
begin the list anew."""

_WHOLE_SECONDS = timedelta(seconds=2)
"""What a `Date` of whole seconds and the way of an answer can make of equal clocks."""

_FAR_APART = timedelta(minutes=1)
"""So far the provider's clock may turn out behind before the list is read anew, from further back."""

Keep = Callable[[Prediction], bool]


@dataclass(frozen=True)
class UploadedFile:
    """A file at the provider: the address that goes into an input, and until when it lives."""

    address: str
    expires_at: datetime | None


class ReplicatePredictions:
    """A `Provider` that speaks Replicate's API (docs/provider.md)."""

    def __init__(self, client: ReplicateClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._secret: tuple[str, float] | None = None
        self._reading_secret = asyncio.Lock()

    async def create(
        self,
        run: RunSpec,
        *,
        webhook: str,
        timeout: float,  # noqa: ASYNC109  # part of the port
    ) -> SubmissionOutcome:
        path, body = _create_request(run, webhook)
        low, high = _CANCEL_AFTER
        headers = {"cancel-after": f"{int(min(max(run.deadline_s, low), high))}s"}
        try:
            async with asyncio.timeout(timeout):  # in all: httpx's own counts each phase anew
                response = await self._client.send("POST", path, json=body, headers=headers, timeout=timeout)
        except _NEVER_SENT as error:
            reason = f"the provider cannot be reached ({type(error).__name__})"
            return Refused(0, reason, RefusalReason.UNREACHED)
        except (httpx.HTTPError, TimeoutError) as error:
            return Unknown(f"{type(error).__name__} after sending")
        return _outcome(response)

    async def get(self, prediction_id: str) -> Prediction:
        found = read_prediction(await self._client.read(_path(prediction_id)))
        if found is None:
            raise Unavailable(f"the provider's answer for prediction {prediction_id} is none")
        return found

    async def created_since(self, moment: datetime, keep: Keep = lambda _: True) -> list[Prediction]:
        """The runs created since `moment` (in our clock) for which `keep` is true, newest first.

        Where the provider's clock is apart from ours, its times are tried in ours too: that finds more, never
        less. The list is read until it passes the moment, however long it is: nothing follows from a part.

        Raises:
            Unavailable: the list could not be read to its end.
            Unauthenticated: this token may not read it.
        """
        start = moment + min(self._clock_ahead(), timedelta())
        found: list[Prediction] = []
        path, params = _first_page(start)
        read = {""}
        while True:
            page = await self._read_page(path, params, tries=_TRIES if len(read) > 1 else 1)
            listed, following = _entries(page)
            ahead = self._clock_ahead()
            if moment + ahead < start - _FAR_APART:
                start, found = moment + ahead, []
                path, params = _first_page(start)
                continue
            found += _wanted_entries(listed, moment, ahead, keep)
            if not following or _passed(listed, moment, ahead):
                return found
            if following in read:
                raise Unavailable("the provider's list of predictions goes in a circle")
            read.add(following)
            path, params = following, {}

    def _clock_ahead(self) -> timedelta:
        """How far the provider's clock is ahead of ours, by its last answer; nothing when too little."""
        date = self._client.date
        ahead = date - self._clock.now() if date is not None else timedelta()
        return ahead if abs(ahead) > _WHOLE_SECONDS else timedelta()

    async def _read_page(self, path: str, params: Mapping[str, str], *, tries: int) -> Any:
        wait = _WAIT
        while True:
            try:
                return await self._client.read(path, params=params)
            except Forbidden as error:
                raise Unauthenticated(
                    f"{error.message}: this token may not read the list of predictions, and without it "
                    "nobody finds what a broken connection has bought; give it the right to, or another token"
                ) from error
            except (Unavailable, TimedOut, Limited) as error:
                tries -= 1
                if not tries:
                    raise
                await self._clock.sleep(error.retry_after or wait)
                wait *= 2

    async def cancel(self, prediction_id: str) -> None:
        """Stop a run. One that the provider refuses to stop is over: the next read shows it."""
        try:
            await self._client.request("POST", f"{_path(prediction_id)}/cancel")
        except (NotFound, Invalid, Forbidden):
            return

    async def webhook_secret(self, *, fresh: bool = False) -> str:
        """The key of the provider's webhook signatures, cached for an hour; `fresh`: read it again."""
        async with self._reading_secret:
            now = self._clock.monotonic()
            if self._secret is None or fresh or now >= self._secret[1]:
                raw = await self._client.read("/v1/webhooks/default/secret")
                key = raw.get("key") if isinstance(raw, Mapping) else None
                if not isinstance(key, str) or not key:
                    raise Unavailable("the provider gave no webhook secret")
                self._secret = (key, now + SECRET_TTL)
            return self._secret[0]

    async def upload(self, data: bytes, *, name: str, content_type: str) -> UploadedFile:
        """Put a file where the provider's models can read it."""
        raw = await self._client.request(
            "POST", "/v1/files", files={"content": (name, data, content_type)}, timeout=120.0
        )
        urls = raw.get("urls") if isinstance(raw, Mapping) else None
        address = urls.get("get") if isinstance(urls, Mapping) else None
        if not isinstance(address, str) or not address:
            raise Unavailable(f"the provider gave no address for the uploaded file {name}")
        return UploadedFile(address, parse_time(raw.get("expires_at")))


def _create_request(run: RunSpec, webhook: str) -> tuple[str, dict[str, Any]]:
    """The route and the body: official models by name, community models by version."""
    body: dict[str, Any] = {"input": dict(run.input)}
    if webhook:
        body |= {"webhook": _with_trace(webhook), "webhook_events_filter": ["completed"]}
    if run.version:
        return "/v1/predictions", {"version": run.version, **body}
    owner, _, name = run.model.partition("/")
    return f"/v1/models/{quote(owner, safe='')}/{quote(name, safe='')}/predictions", body


def _with_trace(webhook: str) -> str:
    """The address with the trace in it, so that the call that comes back is part of what caused it."""
    context = traces.inject().get("traceparent")
    return f"{webhook}?traceparent={context}" if context else webhook


def _path(prediction_id: str) -> str:
    return f"/v1/predictions/{quote(prediction_id, safe='')}"


def _outcome(response: httpx.Response) -> SubmissionOutcome:
    status = response.status_code
    if response.is_success:
        try:
            accepted = read_prediction(response.json())
        except ValueError:
            accepted = None
        return Accepted(accepted) if accepted else Unknown(f"{status} without a readable prediction")
    if 400 <= status < 500 and status not in _UNSURE:
        return read_refusal(status, headers_of(response), response.text)
    return Unknown(f"status {status}")


def _first_page(start: datetime) -> tuple[str, dict[str, str]]:
    return "/v1/predictions", {"created_after": start.astimezone(UTC).isoformat()}


def _entries(page: Any) -> tuple[list[Prediction], str]:
    """The predictions of a page, and where the next one is; empty when it is the last."""
    results = page.get("results") if isinstance(page, Mapping) else None
    if not isinstance(results, list):
        raise Unavailable("the provider's list of predictions cannot be read")
    following = page.get("next")
    is_last = not isinstance(following, str) or following == "null"
    return [each for each in map(read_prediction, results) if each is not None], "" if is_last else following


def _wanted_entries(
    listed: Sequence[Prediction], moment: datetime, ahead: timedelta, keep: Keep
) -> Iterator[Prediction]:
    for each in listed:
        readings = [each]
        if each.created_at is not None and ahead:
            readings.append(replace(each, created_at=each.created_at - ahead))
        for reading in readings:
            if (reading.created_at is None or reading.created_at >= moment) and keep(reading):
                yield reading
                break


def _passed(listed: Sequence[Prediction], moment: datetime, ahead: timedelta) -> bool:
    """Newest first: a page that ends before the moment is the last (should the filter be ignored)."""
    last = listed[-1].created_at if listed else None
    return last is not None and max(last, last - ahead) < moment
