"""One contract for providers, over the fake that other tests use and over HTTP against the sandbox."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import httpx
import pytest
from generator_fakes import FakeProvider
from generator_processes import AUTH, TOKEN

from generator.adapters.models.replicate_models import ReplicateModels
from generator.adapters.replicate_client import ReplicateClient
from generator.adapters.runs.replicate_predictions import ReplicatePredictions
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.model_catalog import ModelCatalog
from generator.core.runs.domain.attempt import Attempt, AttemptState
from generator.core.runs.domain.match_predictions import matching_predictions
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import (
    Accepted,
    RefusalReason,
    Refused,
    SubmissionOutcome,
    Unknown,
)
from generator.core.runs.ports import Provider
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound, Unauthenticated, Unavailable
from servicekit.testing import SimulatedClock, eventually

_numbers = itertools.count()
WEBHOOK = "http://127.0.0.1:9/api/webhooks/replicate/att_1"


@dataclass
class Subject:
    """A provider, and what a test may do to it."""

    provider: Provider
    base: str = ""

    async def fault(self, name: str) -> None:
        if isinstance(self.provider, FakeProvider):
            self.provider.script.append(name)
            return
        body: dict[str, Any] = {"fault": name, "count": 1, "match": {"route": "create"}}
        if name == "500_html":
            body["params"] = {"accept": True}
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{self.base}/sandbox/faults", json=body, headers=AUTH)
            assert answer.status_code == 201, answer.text


@pytest.fixture(params=["fake", "http"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield Subject(FakeProvider(SystemClock()))
        return
    base = request.getfixturevalue("sandbox")
    client = ReplicateClient(base, TOKEN)
    await client.start()
    try:
        yield Subject(ReplicatePredictions(client, SystemClock()), base)
    finally:
        async with httpx.AsyncClient() as http:
            await http.delete(f"{base}/sandbox/faults", headers=AUTH)
        await client.stop()


def a_run(**changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "model": "rushes/instant",
        "input": {"prompt": f"number {next(_numbers)}"},
        "deadline_s": 600.0,
    }
    return RunSpec(**(values | changes))


async def create(provider: Provider, run: RunSpec, *, timeout: float = 5.0) -> SubmissionOutcome:  # noqa: ASYNC109
    return await provider.create(run, webhook=WEBHOOK, timeout=timeout)


async def accepted(provider: Provider, run: RunSpec) -> Prediction:
    outcome = await create(provider, run)
    assert isinstance(outcome, Accepted), outcome
    return outcome.prediction


async def final(subject: Subject, prediction_id: str) -> Prediction:
    async def read() -> Prediction:
        found = await subject.provider.get(prediction_id)
        assert found.is_final, found.status
        return found

    return await eventually(read, within=20)


async def test_a_run_is_bought_followed_and_listed(subject: Subject) -> None:
    before = SystemClock().now() - timedelta(seconds=2)
    run = a_run()
    prediction = await accepted(subject.provider, run)
    assert not prediction.is_final
    assert prediction.created_at is not None
    done = await final(subject, prediction.id)
    assert done.status == "succeeded"
    assert done.output
    assert done.completed_at is not None
    listed = {each.id: each for each in await subject.provider.created_since(before)}
    assert listed[prediction.id].input["prompt"] == run.input["prompt"]
    assert listed[prediction.id].webhook in ("", WEBHOOK)
    assert await subject.provider.created_since(SystemClock().now() + timedelta(hours=1)) == []


async def test_a_run_is_stopped_and_stopping_twice_is_fine(subject: Subject) -> None:
    prediction = await accepted(
        subject.provider, a_run(model="rushes/music-bed", input={"prompt": "x", "duration": 120})
    )
    await subject.provider.cancel(prediction.id)
    assert (await final(subject, prediction.id)).status in ("canceled", "succeeded")
    await subject.provider.cancel(prediction.id)
    await subject.provider.cancel("nobodyknowsthis")


async def test_an_unknown_prediction_is_not_found(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.provider.get("nobodyknowsthis")


async def test_an_unknown_model_is_refused_unpaid(subject: Subject) -> None:
    outcome = await create(subject.provider, a_run(model="nobody/nothing"))
    assert isinstance(outcome, Refused)
    assert outcome.reason is RefusalReason.MISSING


@pytest.mark.parametrize(
    ("fault", "reason", "waits"),
    [
        ("429_header", RefusalReason.LIMITED, True),
        ("429_body", RefusalReason.LIMITED, True),
        ("429_text", RefusalReason.LIMITED, True),
        ("402", RefusalReason.NO_CREDIT, False),
        ("401", RefusalReason.NO_TOKEN, False),
    ],
)
async def test_refusals_are_distinguished(
    subject: Subject, fault: str, reason: RefusalReason, waits: bool
) -> None:
    await subject.fault(fault)
    outcome = await create(subject.provider, a_run())
    assert isinstance(outcome, Refused)
    assert outcome.reason is reason
    assert outcome.text
    assert (outcome.retry_after is not None and outcome.retry_after > 1) is waits


@pytest.mark.parametrize("fault", ["reset", "500_html"])
async def test_what_was_sent_without_an_answer_is_unknown_and_found_in_the_list(
    subject: Subject, fault: str
) -> None:
    before = SystemClock().now() - timedelta(seconds=2)
    await subject.fault(fault)
    run = a_run()
    assert isinstance(await create(subject.provider, run), Unknown)
    found = [each for each in await subject.provider.created_since(before) if each.input == run.input]
    assert len(found) == 1


# Over HTTP alone ------------------------------------------------------------------------------------


async def test_a_hanging_provider_is_unknown_in_time(client: ReplicateClient, sandbox: str) -> None:
    subject = Subject(ReplicatePredictions(client, SystemClock()), sandbox)
    await subject.fault("hang")
    began = SystemClock().monotonic()
    assert isinstance(await create(subject.provider, a_run(), timeout=0.5), Unknown)
    assert SystemClock().monotonic() - began < 3


async def test_community_models_run_by_version_and_need_it(client: ReplicateClient) -> None:
    model = await ModelCatalog(ReplicateModels(client), SystemClock()).model("studio-nord", "slow-pan")
    provider = ReplicatePredictions(client, SystemClock())
    given = {"image": "data:image/png;base64,iVBORw0KGgo="}
    by_route = await create(provider, a_run(model="studio-nord/slow-pan", input=given))
    assert isinstance(by_route, Refused)
    by_version = await create(
        provider, a_run(model="studio-nord/slow-pan", version=model.version, input=given)
    )
    assert isinstance(by_version, Accepted)


async def test_nobody_there_means_nothing_was_sent() -> None:
    client = ReplicateClient("http://127.0.0.1:9", "")
    await client.start()
    outcome = await create(ReplicatePredictions(client, SystemClock()), a_run())
    assert isinstance(outcome, Refused)
    assert outcome.reason is RefusalReason.UNREACHED
    with pytest.raises(Unavailable):
        await client.read("/v1/collections")
    await client.stop()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, "<html>", Unavailable),
        (404, "{}", NotFound),
        (401, "{}", Unauthenticated),
        (422, "{}", Invalid),
        (302, "", Unavailable),
        (200, "<html>", Unavailable),
        (429, "{}", Exception),
    ],
)
async def test_every_answer_to_a_read_has_its_error(status: int, body: str, error: type[Exception]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, text=body))
    client = ReplicateClient("https://api.test", TOKEN, transport=transport)
    await client.start()
    with pytest.raises(error) as caught:
        await client.read("/v1/collections")
    assert TOKEN not in str(caught.value)
    await client.stop()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(201, text="<html>"),
        httpx.Response(201, json={}),
        httpx.Response(302),
        httpx.Response(503),
        httpx.Response(408),
    ],
)
async def test_answers_without_a_prediction_are_unknown(answer: httpx.Response) -> None:
    client = ReplicateClient("https://api.test", TOKEN, transport=httpx.MockTransport(lambda _: answer))
    await client.start()
    assert isinstance(await create(ReplicatePredictions(client, SystemClock()), a_run()), Unknown)
    await client.stop()


async def test_pages_are_read_at_our_own_host_and_the_list_is_whole_or_nothing() -> None:
    requests: list[httpx.Request] = []
    now = SystemClock().now()

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        page = int(request.url.params.get("cursor", 0))
        after = (page + 1) % 3 if loops else page + 1
        following = f"https://evil.test/v1/predictions?cursor={after}" if after < 3 else None
        results = [{"id": f"p{page}", "status": "starting", "created_at": now.isoformat()}]
        return httpx.Response(200, json={"next": following, "results": results})

    loops = False
    client = ReplicateClient("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await client.start()
    provider = ReplicatePredictions(client, SystemClock())
    assert [each.id for each in await provider.created_since(now - timedelta(minutes=1))] == [
        "p0",
        "p1",
        "p2",
    ]
    assert {request.url.host for request in requests} == {"api.test"}
    loops = True
    with pytest.raises(Unavailable, match="circle"):
        await provider.created_since(now - timedelta(minutes=1))
    await client.stop()


async def test_a_long_list_is_read_to_its_end_whatever_a_page_suffers() -> None:
    """What is not seen counts as not bought, and is bought again: so 120 busy pages are all read."""
    now = SystemClock().now()
    trouble = [httpx.Response(502), httpx.Response(429, headers={"retry-after": "1"})]

    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("cursor", 0))
        if page == 70 and trouble:
            return trouble.pop()
        made = now - timedelta(seconds=page)
        results = [
            {"id": f"p{page}-{place}", "status": "starting", "created_at": made.isoformat()}
            for place in range(3)
        ]
        # The filter is ignored, and the list goes on for ever: it is left where it passes the moment.
        return httpx.Response(200, json={"next": f"/v1/predictions?cursor={page + 1}", "results": results})

    client = ReplicateClient("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await client.start()
    provider = ReplicatePredictions(client, SimulatedClock.running(skip=lambda: True))
    moment = now - timedelta(seconds=120, milliseconds=500)
    assert [each.id for each in await provider.created_since(moment, lambda each: each.id == "p120-2")] == [
        "p120-2"
    ]
    assert await provider.created_since(moment, lambda each: each.id.startswith("p121")) == []
    trouble += [httpx.Response(502)] * 9
    with pytest.raises(Unavailable):
        await provider.created_since(moment)
    await client.stop()


async def test_a_list_that_may_not_be_read_is_an_error_of_the_token() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(403, json={"detail": "no scope"}))
    client = ReplicateClient("https://api.test", TOKEN, transport=transport)
    await client.start()
    with pytest.raises(Unauthenticated, match="may not read the list"):
        await ReplicatePredictions(client, SystemClock()).created_since(SystemClock().now())
    await client.stop()


async def test_a_wrong_token_is_reported(sandbox: str) -> None:
    client = ReplicateClient(sandbox, "wrong")
    await client.start()
    with pytest.raises(Unauthenticated):
        await ReplicateModels(client).collections()
    outcome = await create(ReplicatePredictions(client, SystemClock()), a_run())
    assert isinstance(outcome, Refused)
    assert outcome.reason is RefusalReason.NO_TOKEN
    await client.stop()


async def test_the_webhook_secret_is_cached(client: ReplicateClient) -> None:
    provider = ReplicatePredictions(client, SystemClock())
    secret = await provider.webhook_secret()
    assert secret.startswith("whsec_")
    assert await provider.webhook_secret() == secret


async def test_an_uploaded_file_has_an_address_that_runs_can_use(client: ReplicateClient) -> None:
    uploaded = await ReplicatePredictions(client, SystemClock()).upload(
        b"x" * 2000, name="a.png", content_type="image/png"
    )
    assert uploaded.address.startswith("http")


@pytest.mark.parametrize("behind", [-3600, -90, -20, 20, 90, 3600])
async def test_a_lost_purchase_is_found_whatever_time_the_provider_has(behind: float) -> None:
    """Seen in the provider's time it may lie before the intent, or long after it."""
    now = SystemClock().now()
    theirs = now - timedelta(seconds=behind)

    def answer(request: httpx.Request) -> httpx.Response:
        after = datetime.fromisoformat(request.url.params["created_after"])
        run = {"id": "p", "status": "processing", "created_at": theirs.isoformat(), "input": {"prompt": "x"}}
        results = [run] if theirs >= after else []
        date = format_datetime(theirs.replace(microsecond=0), usegmt=True)
        return httpx.Response(200, json={"results": results, "next": None}, headers={"date": date})

    client = ReplicateClient("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await client.start()
    pick = partial(
        matching_predictions,
        attempt=Attempt("att_1", "gen_1", 1, AttemptState.INTENDED, now),
        run=RunSpec("a/b", input={"prompt": "x"}),
        window=20.0,
    )
    listed = await ReplicatePredictions(client, SystemClock()).created_since(
        now - timedelta(minutes=5), lambda p: bool(pick([p]))
    )
    assert [each.id for each in pick(listed)] == ["p"]
    await client.stop()
