"""What answers and errors mean, which calls are believed, and when the next submission may start."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.adapters.runs.event_publisher import event_message
from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.runs.domain import rate_limit_state as limits
from generator.core.runs.domain.attempt import Attempt, AttemptState
from generator.core.runs.domain.events import PredictionFailed, PredictionRef
from generator.core.runs.domain.match_predictions import matching_predictions, same_input
from generator.core.runs.domain.prediction import (
    Prediction,
    last_log_line,
    parse_time,
    progress_percent,
    read_prediction,
)
from generator.core.runs.domain.provider_errors import RefusalReason, classify_error, read_refusal
from generator.core.runs.domain.rate_limit_state import RateLimitState, StartDenied, StartGranted
from generator.core.runs.domain.webhook_signature import verify_signature
from rushes.events.v1 import events_pb2
from servicekit.errors import Unauthenticated


@pytest.mark.parametrize(
    ("text", "code", "retryable", "wait"),
    [
        ("x (E1000)", "E1000", True, 5),
        ("killed (E1001)", "E1001", False, 0),
        ("(E4875)", "E4875", False, 0),
        ("Director: unexpected error handling prediction (E6716)", "E6716", True, 10),
        ("(E8367)", "E8367", True, 5),
        ("Model health check failed (E8765)", "E8765", True, 120),
        ("(E9243)", "E9243", True, 5),
        ("(E9825)", "E9825", True, 5),
        ("(E9828)", "E9828", True, 5),
        ("Prediction interrupted; please retry (code: PA)", "PA", True, 2),
        ("busy (E003)", "E003", True, 60),
        ("unavailable (E004)", "E004", True, 15),
        ("flagged as sensitive (E005) (uIJ6l3ruRD)", "E005", False, 0),
        ("invalid (E006)", "E006", False, 0),
        ("new one (E1234)", "E1234", False, 0),
        ("NSFW content detected. Try again", "refused_content", False, 0),
        ("", "failed", False, 0),
        ("CUDA out of memory. Tried", "out_of_memory", False, 0),
        ("something odd", "failed", False, 0),
        ("upload failed (E9825) Director: (E6716)", "E6716", True, 10),
        ("busy (E003); refused (E005) (E1234)", "E005", False, 0),
        ("neither (E1234) nor (E4321)", "E4321", False, 0),
    ],
)
def test_errors_are_classified(text: str, code: str, retryable: bool, wait: float) -> None:
    error = classify_error(text)
    assert (error.code, error.retryable, error.retry_after) == (code, retryable, wait)
    assert error.message == (text or "the provider gave no reason")


@pytest.mark.parametrize(("code", "most"), [("E9825", 1), ("E9243", 2), ("E6716", None)])
def test_some_codes_are_retried_so_often_and_no_more(code: str, most: int | None) -> None:
    error = classify_error(f"x ({code})")
    assert error.most_retries == most
    message = event_message(PredictionFailed(PredictionRef("gen", "att", "p"), error))
    assert isinstance(message, events_pb2.PredictionFailed)
    assert (message.most_retries if message.HasField("most_retries") else None) == most


LOW = (
    "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute "
    "with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~8s."
)


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "3"}, "{}", 4),
        ({}, '{"retry_after": 8}', 9),
        ({}, f'{{"detail":"{LOW}"}}', 9),
        ({}, '{"detail":"Your rate limit resets in ~30s."}', 31),
        ({}, '{"detail":"Expected available in 1 second."}', 2),
        ({"retry-after": "Wed, 21 Oct"}, '{"retry_after":2}', 3),
        ({}, "slow down", 11),
        ({}, "", 11),
        ({"retry-after": "-5"}, "{}", 11),
        ({"retry-after": "inf"}, "{}", 11),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 31),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 1),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, '{"retry_after":2}', 3),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 11),
    ],
)
def test_the_wait_of_a_429(headers: dict[str, str], body: str, wait: float) -> None:
    answer = read_refusal(429, headers, body)
    assert answer.reason is RefusalReason.LIMITED
    assert answer.retry_after == wait


def test_low_credit_widens_the_spacing() -> None:
    answer = read_refusal(429, {}, f'{{"detail":"{LOW}"}}')
    assert answer.spacing == 10.0
    state = limits.block(RateLimitState(), 100.0, wait=9.0, spacing=answer.spacing)
    state, answer = limits.take_start(state, 109.0, delay=1.0, probe_every=30, patience=30)
    assert answer == StartGranted(0.0)
    assert limits.take_start(state, 109.0, delay=1.0, probe_every=30, patience=30)[1] == StartGranted(10.0)


def test_bodies_of_any_form_give_their_sentence() -> None:
    assert read_refusal(422, {}, '{"detail":[{"loc":["body","input","a"],"msg":"Field required"}]}').text == (
        "body.input.a: Field required"
    )
    assert read_refusal(404, {}, "<html><b>nope</b></html>").text == "nope"
    assert read_refusal(402, {}, '{"title":"Insufficient credit"}').reason is RefusalReason.NO_CREDIT
    assert read_refusal(401, {}, "").reason is RefusalReason.NO_TOKEN


KEY, MESSAGE, TIMESTAMP = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "1614265330",
)
BODY, SIGNATURE = b'{"test": 2432232314}', "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
THEN = datetime.fromtimestamp(int(TIMESTAMP), UTC)


def headers(signature: str = SIGNATURE, timestamp: str = TIMESTAMP, message: str = MESSAGE) -> dict[str, str]:
    return {"webhook-id": message, "webhook-timestamp": timestamp, "webhook-signature": signature}


@pytest.mark.parametrize(
    "signature",
    [
        SIGNATURE,
        f"v1,AAAA {SIGNATURE}",
        f"v1a,%%% {SIGNATURE}",
        f"v1,not-base64! {SIGNATURE}",
        f"{SIGNATURE} v1,x",
        f"junk {SIGNATURE}",
    ],
)
def test_the_public_vector_is_believed(signature: str) -> None:
    assert verify_signature(KEY, headers(signature), BODY, now=THEN) == MESSAGE


@pytest.mark.parametrize(
    ("sent", "body", "now"),
    [
        (headers(), BODY + b" ", THEN),
        (headers(message="msg_other"), BODY, THEN),
        (headers("v1,AAAA"), BODY, THEN),
        (headers(""), BODY, THEN),
        (headers(SIGNATURE.replace("v1,", "v1a,")), BODY, THEN),
        (headers(), BODY, THEN + timedelta(seconds=301)),
        (headers(), BODY, THEN - timedelta(seconds=301)),
        (headers(timestamp="1614265331"), BODY, THEN),
        (headers(timestamp="soon"), BODY, THEN),
        (headers(timestamp="²"), BODY, THEN),
        (headers(timestamp="9" * 400), BODY, THEN),
        ({}, BODY, THEN),
    ],
)
def test_forged_and_replayed_calls_are_refused(sent: dict[str, str], body: bytes, now: datetime) -> None:
    with pytest.raises(Unauthenticated):
        verify_signature(KEY, sent, body, now=now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???"])
def test_an_unreadable_secret_believes_nobody(secret: str) -> None:
    forged = base64.b64encode(
        hmac.new(b"", f"{MESSAGE}.{TIMESTAMP}.".encode() + BODY, hashlib.sha256).digest()
    ).decode()
    with pytest.raises(Unauthenticated):
        verify_signature(secret, headers(f"v1,{forged}"), BODY, now=THEN)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["take", "block", "trip"])), max_size=30),
    st.floats(0.01, 3),
)
def test_starts_are_spaced_whatever_happens(steps: list[tuple[float, str]], delay: float) -> None:
    state, now, starts = RateLimitState(), 1000.0, []
    for passed, what in steps:
        now += passed
        if what == "block":
            state = limits.block(state, now, wait=7.0)
        elif what == "trip":
            state = limits.reset(limits.trip(state, now, reason="402", probe_every=30))
        else:
            state, answer = limits.take_start(state, now, delay=delay, probe_every=30, patience=20)
            if isinstance(answer, StartGranted):
                assert now + answer.wait >= state.blocked_until - 1e-6
                starts.append(now + answer.wait)
        state = RateLimitState.load(state.dump())
    assert all(later - earlier >= delay - 1e-6 for earlier, later in pairwise(starts))


def test_a_tripped_breaker_lets_one_probe_through_at_a_time() -> None:
    state = limits.trip(RateLimitState(), 0.0, reason="402", probe_every=30)
    assert limits.take_start(state, 10.0, delay=1, probe_every=30, patience=30)[1] == StartDenied(
        21.0 - 1.0, "402"
    )
    state, answer = limits.take_start(state, 30.0, delay=1, probe_every=30, patience=30)
    assert answer == StartGranted(0.0, probe=True)
    assert isinstance(limits.take_start(state, 30.0, delay=1, probe_every=30, patience=30)[1], StartDenied)
    assert limits.take_start(limits.reset(state), 31.0, delay=1, probe_every=30, patience=30)[
        1
    ] == StartGranted(0.0)


@settings(deadline=None)
@given(
    st.recursive(st.none() | st.text() | st.integers(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
)
def test_an_unreadable_rate_limit_state_limits_nothing(raw: object) -> None:
    assert isinstance(RateLimitState.load(raw), RateLimitState)


def test_logs_show_progress() -> None:
    assert progress_percent("  5%|#\n 42%|####    | 4/10\nnext") == 42
    assert progress_percent("100% sure") is None
    assert progress_percent("250%|") == 100
    assert last_log_line("loading\nsampling\n 42%|##\r 43%|##") == "sampling"
    assert last_log_line(" 42%|##\r 43%|##") == ""


@pytest.mark.parametrize("digits", ["", ".360", ".360785", ".36078512", ".360785123"])
def test_times_with_any_fraction(digits: str) -> None:
    moment = parse_time(f"2026-08-07T13:40:58{digits}Z")
    assert moment is not None
    assert moment.replace(microsecond=0) == datetime(2026, 8, 7, 13, 40, 58, tzinfo=UTC)
    assert parse_time("never") is None


def test_a_prediction_with_odd_fields_is_read() -> None:
    found = read_prediction(
        {"id": "a", "status": "succeeded", "error": "", "input": None, "metrics": None, "logs": None, "x": 1}
    )
    assert found is not None
    assert found.is_final
    assert read_prediction({"status": "succeeded"}) is None
    assert read_prediction("x") is None


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def match(*predictions: Prediction, sent: dict[str, object] | None = None) -> list[str]:
    found = matching_predictions(
        predictions,
        Attempt("att_1", "gen_1", 1, AttemptState.INTENDED, NOW),
        RunSpec("a/b", input=sent or {"p": 1}),
        window=20,
    )
    return [each.id for each in found]


def test_the_list_is_matched_by_webhook_then_by_input_and_time() -> None:
    soon = NOW + timedelta(seconds=3)
    ours = Prediction("w", "starting", webhook="https://h/api/webhooks/replicate/att_1", created_at=soon)
    other = Prediction(
        "o", "starting", input={"p": 1}, model="a/b", webhook="https://h/x/att_2", created_at=soon
    )
    equal = Prediction("e", "starting", input={"p": 1, "default": 2}, model="a/b", created_at=soon)
    late = Prediction("l", "starting", input={"p": 1}, model="a/b", created_at=NOW + timedelta(seconds=40))
    different = Prediction("d", "starting", input={"p": 2}, model="a/b", created_at=soon)
    elsewhere = Prediction("m", "starting", input={"p": 1}, model="a/c", created_at=soon)
    assert match(other, equal, ours) == ["w"]
    assert match(other, equal, late, different, elsewhere) == ["e"]


def test_a_removed_input_may_have_been_ours_and_comes_after_what_surely_is() -> None:
    soon = NOW + timedelta(seconds=3)
    removed = Prediction("r", "succeeded", model="a/b", data_removed=True, created_at=soon)
    others = (
        replace(removed, id="model", model="a/c"),
        replace(removed, id="late", created_at=NOW + timedelta(seconds=40)),
        replace(removed, id="owned", webhook="https://h/x/att_2"),
        replace(removed, id="kept", data_removed=False),
    )
    equal = Prediction("e", "starting", input={"p": 1}, model="a/b", created_at=NOW + timedelta(seconds=9))
    assert match(*others, removed) == ["r"]
    assert match(removed, equal) == ["e", "r"]


def test_equal_inputs_may_name_files_in_their_own_way() -> None:
    asset = "asset:ast_01JCZZZZZZZZZZZZZZZZZZZZZZ"
    assert same_input(
        {"i": asset}, {"i": "https://h/api/v3/assets/ast_01JCZZZZZZZZZZZZZZZZZZZZZZ/data?token=1"}
    )
    assert not same_input(
        {"i": asset}, {"i": "https://h/api/v3/assets/ast_01JCYYYYYYYYYYYYYYYYYYYYYY/data?token=1"}
    )
    assert same_input({"i": [asset]}, {"i": ["data:image/png;base64,AA"]})
    assert not same_input({"flag": True}, {"flag": 1})
