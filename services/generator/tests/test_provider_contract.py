"""One contract for providers, over the stand-in that other tests use and over HTTP against the sandbox."""

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
from generator_sandbox import AUTH, TOKEN
from generator_stand_ins import FakeProvider

from generator.adapters.models.replicate_models import HttpLibrary
from generator.adapters.replicate_client import Api
from generator.adapters.runs.replicate_predictions import HttpProvider
from generator.core.models.model_catalog import Shelf
from generator.core.runs.domain.match_predictions import candidates
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.provider_errors import Accepted, Outcome, Refusal, Refused, Unknown
from generator.core.runs.ports import Order, Provider
from servicekit.clock import SystemClock
from servicekit.errors import Invalid, NotFound, Unauthenticated, Unavailable
from servicekit.testing import eventually

_numbers = itertools.count()


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


@pytest.fixture(params=["stand-in", "http"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "stand-in":
        yield Subject(FakeProvider(SystemClock()))
        return
    base = request.getfixturevalue("sandbox")
    api = Api(base, TOKEN)
    await api.start()
    try:
        yield Subject(HttpProvider(api, SystemClock()), base)
    finally:
        async with httpx.AsyncClient() as client:
            await client.delete(f"{base}/sandbox/faults", headers=AUTH)
        await api.stop()


def order(**changes: Any) -> Order:
    number = next(_numbers)
    values: dict[str, Any] = {
        "model": "rushes/instant",
        "version": "",
        "input": {"prompt": f"number {number}"},
        "webhook": f"http://127.0.0.1:9/api/webhooks/replicate/att_{number}",
        "deadline": 600.0,
    }
    return Order(**(values | changes))


async def bought(subject: Subject, wanted: Order, *, timeout: float = 5.0) -> Outcome:  # noqa: ASYNC109
    return await subject.provider.create(wanted, timeout=timeout)


async def accepted(subject: Subject, wanted: Order) -> Prediction:
    outcome = await bought(subject, wanted)
    assert isinstance(outcome, Accepted), outcome
    return outcome.prediction


async def final(subject: Subject, prediction_id: str) -> Prediction:
    async def look() -> Prediction:
        found = await subject.provider.get(prediction_id)
        assert found.final, found.status
        return found

    return await eventually(look, within=20)


async def test_a_run_is_bought_followed_and_listed(subject: Subject) -> None:
    before = SystemClock().now() - timedelta(seconds=2)
    wanted = order()
    prediction = await accepted(subject, wanted)
    assert not prediction.final
    assert prediction.created_at is not None
    done = await final(subject, prediction.id)
    assert done.status == "succeeded"
    assert done.output
    assert done.completed_at is not None
    listed = {each.id: each for each in await subject.provider.since(before)}
    assert listed[prediction.id].input["prompt"] == wanted.input["prompt"]
    assert listed[prediction.id].webhook in ("", wanted.webhook)
    assert await subject.provider.since(SystemClock().now() + timedelta(hours=1)) == []


async def test_a_run_is_stopped_and_stopping_twice_is_fine(subject: Subject) -> None:
    prediction = await accepted(
        subject, order(model="rushes/music-bed", input={"prompt": "x", "duration": 120})
    )
    await subject.provider.cancel(prediction.id)
    assert (await final(subject, prediction.id)).status in ("canceled", "succeeded")
    await subject.provider.cancel(prediction.id)
    await subject.provider.cancel("nobodyknowsthis")


async def test_an_unknown_prediction_is_not_found(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.provider.get("nobodyknowsthis")


async def test_an_unknown_model_is_refused_unpaid(subject: Subject) -> None:
    outcome = await bought(subject, order(model="nobody/nothing"))
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.MISSING


@pytest.mark.parametrize(
    ("fault", "kind", "waits"),
    [
        ("429_header", Refusal.LIMITED, True),
        ("429_body", Refusal.LIMITED, True),
        ("429_text", Refusal.LIMITED, True),
        ("402", Refusal.NO_CREDIT, False),
        ("401", Refusal.NO_TOKEN, False),
    ],
)
async def test_refusals_are_told_apart(subject: Subject, fault: str, kind: Refusal, waits: bool) -> None:
    await subject.fault(fault)
    outcome = await bought(subject, order())
    assert isinstance(outcome, Refused)
    assert outcome.kind is kind
    assert outcome.text
    assert (outcome.retry_after is not None and outcome.retry_after > 1) is waits


@pytest.mark.parametrize("fault", ["reset", "500_html"])
async def test_what_was_sent_without_an_answer_is_unknown_and_found_in_the_list(
    subject: Subject, fault: str
) -> None:
    before = SystemClock().now() - timedelta(seconds=2)
    await subject.fault(fault)
    wanted = order()
    assert isinstance(await bought(subject, wanted), Unknown)
    found = [each for each in await subject.provider.since(before) if each.input == wanted.input]
    assert len(found) == 1


# Over HTTP alone ------------------------------------------------------------------------------------


async def test_a_hanging_provider_is_unknown_in_time(api: Api, sandbox: str) -> None:
    subject = Subject(HttpProvider(api, SystemClock()), sandbox)
    await subject.fault("hang")
    began = SystemClock().monotonic()
    assert isinstance(await bought(subject, order(), timeout=0.5), Unknown)
    assert SystemClock().monotonic() - began < 3


async def test_community_models_run_by_version_and_need_it(api: Api) -> None:
    listed = await Shelf(HttpLibrary(api), SystemClock()).model("studio-nord", "slow-pan")
    provider = HttpProvider(api, SystemClock())
    given = {"image": "data:image/png;base64,iVBORw0KGgo="}
    by_route = await provider.create(order(model="studio-nord/slow-pan", input=given), timeout=5)
    assert isinstance(by_route, Refused)
    by_version = await provider.create(
        order(model="studio-nord/slow-pan", version=listed.model.version, input=given), timeout=5
    )
    assert isinstance(by_version, Accepted)


async def test_nobody_there_means_nothing_was_sent() -> None:
    api = Api("http://127.0.0.1:9", "")
    await api.start()
    outcome = await HttpProvider(api, SystemClock()).create(order(), timeout=5)
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.UNREACHED
    with pytest.raises(Unavailable):
        await api.read("/v1/collections")
    await api.stop()


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
    api = Api("https://api.test", TOKEN, transport=transport)
    await api.start()
    with pytest.raises(error) as caught:
        await api.read("/v1/collections")
    assert TOKEN not in str(caught.value)
    await api.stop()


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
async def test_answers_that_tell_nothing_are_unknown(answer: httpx.Response) -> None:
    api = Api("https://api.test", TOKEN, transport=httpx.MockTransport(lambda _: answer))
    await api.start()
    assert isinstance(await HttpProvider(api, SystemClock()).create(order(), timeout=5), Unknown)
    await api.stop()


async def test_pages_are_read_at_our_own_host_and_the_list_is_whole_or_nothing() -> None:
    seen: list[httpx.Request] = []
    now = SystemClock().now()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        page = int(request.url.params.get("cursor", 0))
        after = (page + 1) % 3 if loops else page + 1
        following = f"https://evil.test/v1/predictions?cursor={after}" if after < 3 else None
        results = [{"id": f"p{page}", "status": "starting", "created_at": now.isoformat()}]
        return httpx.Response(200, json={"next": following, "results": results})

    loops = False
    api = Api("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await api.start()
    provider = HttpProvider(api, SystemClock())
    assert [each.id for each in await provider.since(now - timedelta(minutes=1))] == ["p0", "p1", "p2"]
    assert {request.url.host for request in seen} == {"api.test"}
    loops = True
    with pytest.raises(Unavailable, match="circle"):
        await provider.since(now - timedelta(minutes=1))
    await api.stop()


class Impatient(SystemClock):
    """Sleeps no time at all."""

    async def sleep(self, seconds: float) -> None:
        pass


async def test_a_long_list_is_read_to_its_end_whatever_a_page_suffers() -> None:
    """What is not seen counts as not bought, and is bought again: so 120 busy pages are all looked at."""
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

    api = Api("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await api.start()
    provider = HttpProvider(api, Impatient())
    moment = now - timedelta(seconds=120, milliseconds=500)
    assert [each.id for each in await provider.since(moment, lambda each: each.id == "p120-2")] == ["p120-2"]
    assert await provider.since(moment, lambda each: each.id.startswith("p121")) == []
    trouble += [httpx.Response(502)] * 9
    with pytest.raises(Unavailable):
        await provider.since(moment)
    await api.stop()


async def test_a_list_that_may_not_be_read_is_trouble_with_the_token() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(403, json={"detail": "no scope"}))
    api = Api("https://api.test", TOKEN, transport=transport)
    await api.start()
    with pytest.raises(Unauthenticated, match="may not read the list"):
        await HttpProvider(api, SystemClock()).since(SystemClock().now())
    await api.stop()


async def test_a_wrong_token_is_told(sandbox: str) -> None:
    api = Api(sandbox, "wrong")
    await api.start()
    with pytest.raises(Unauthenticated):
        await HttpLibrary(api).collections()
    outcome = await HttpProvider(api, SystemClock()).create(order(), timeout=5)
    assert isinstance(outcome, Refused)
    assert outcome.kind is Refusal.NO_TOKEN
    await api.stop()


async def test_the_webhook_secret_is_remembered(api: Api) -> None:
    provider = HttpProvider(api, SystemClock())
    secret = await provider.webhook_secret()
    assert secret.startswith("whsec_")
    assert await provider.webhook_secret() == secret


async def test_an_uploaded_file_has_an_address_that_runs_can_use(api: Api) -> None:
    uploaded = await HttpProvider(api, SystemClock()).upload(
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

    api = Api("https://api.test", TOKEN, transport=httpx.MockTransport(answer))
    await api.start()
    pick = partial(
        candidates,
        attempt_id="att_1",
        model="a/b",
        version="",
        sent={"prompt": "x"},
        intended_at=now,
        window=20.0,
    )
    listed = await HttpProvider(api, SystemClock()).since(
        now - timedelta(minutes=5), lambda p: bool(pick([p]))
    )
    assert [each.id for each in pick(listed)] == ["p"]
    await api.stop()
