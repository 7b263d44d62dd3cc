"""The HTTP API beyond what the official client uses: headers, validation, lists, states, charges, time."""

from __future__ import annotations

import datetime
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.core.models.domain.input_validation import validate_input

if TYPE_CHECKING:
    from conftest import Receiver, Sandbox

KEYS = {
    "id",
    "model",
    "version",
    "input",
    "logs",
    "output",
    "data_removed",
    "error",
    "source",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "metrics",
    "urls",
}


def test_create_answers_every_key_and_header(sandbox: Sandbox) -> None:
    answer = sandbox.http.post("/v1/models/rushes/instant/predictions", json={"input": {}})
    shown = answer.json()
    assert answer.status_code == 201
    assert set(shown) >= KEYS
    assert (shown["status"], shown["version"], shown["output"], shown["data_removed"]) == (
        "starting",
        "hidden",
        None,
        False,
    )
    assert answer.headers["location"] == shown["urls"]["get"] == f"{sandbox.url}/v1/predictions/{shown['id']}"
    assert answer.headers["ratelimit-remaining"] == "599"
    assert len(shown["id"]) == 26


def test_prefer_wait_in_time(sandbox: Sandbox) -> None:
    answer = sandbox.http.post(
        "/v1/models/rushes/instant/predictions", json={"input": {}}, headers={"prefer": "wait=10"}
    )
    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
    assert answer.headers["preference-applied"] == "wait=10"


def test_a_create_answers_starting_once_its_wait_is_over(sandbox: Sandbox, until: Any) -> None:
    sandbox.fault("stuck_processing")
    answers: list[Any] = []

    def create() -> None:
        answers.append(
            sandbox.http.post(
                "/v1/models/rushes/instant/predictions", json={"input": {}}, headers={"prefer": "wait=1"}
            )
        )

    waiting = threading.Thread(target=create)
    waiting.start()
    waiting.join(10)
    assert (answers[0].status_code, answers[0].json()["status"]) == (202, "starting")
    sandbox.http.post(f"/v1/predictions/{answers[0].json()['id']}/cancel")


def test_cancel_after_ends_as_canceled_or_aborted(sandbox: Sandbox, until: Any) -> None:
    sandbox.clock(virtual=True)
    for fault, status in (("stuck_processing", "canceled"), ("stuck_starting", "aborted")):
        sandbox.fault(fault)
        made = sandbox.create(headers={"cancel-after": "1m30s"})
        created, deadline = (datetime.datetime.fromisoformat(made[k]) for k in ("created_at", "deadline"))
        assert deadline - created == datetime.timedelta(seconds=90)
        sandbox.clock(advance=89)
        assert sandbox.get(made)["completed_at"] is None
        sandbox.clock(advance=2)
        assert sandbox.ended(made)["status"] == status


def test_a_canceled_prediction_has_no_logs(sandbox: Sandbox) -> None:
    sandbox.fault("stuck_processing")
    made = sandbox.create()
    assert made["logs"] == ""
    canceled = sandbox.http.post(f"/v1/predictions/{made['id']}/cancel").json()
    assert (canceled["status"], canceled["logs"], canceled["output"]) == ("canceled", None, None)
    assert canceled["completed_at"]
    assert canceled["metrics"]


@pytest.mark.parametrize("value", ["4", "25h", "soon", ""])
def test_bad_cancel_after(sandbox: Sandbox, value: str) -> None:
    answer = sandbox.http.post(
        "/v1/models/rushes/instant/predictions", json={"input": {}}, headers={"cancel-after": value}
    )
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({}, "input", "image is required"),
        ({"image": None}, "input.image", "given: null"),
        ({"image": "no address"}, "input.image", "uri"),
        ({"image": "https://x/y", "duration": 11}, "input.duration", "less than or equal to 10"),
        ({"image": "https://x/y", "duration": "4"}, "input.duration", "Expected: integer"),
        ({"image": "https://x/y", "fps": 26}, "input.fps", "24, 25, 30"),
        ({"image": "https://x/y", "move": "spin"}, "input.move", "zoom-in"),
    ],
)
def test_refused_input_names_the_field(
    sandbox: Sandbox, value: dict[str, Any], field: str, message: str
) -> None:
    before = sandbox.ledger()["count"]
    answer = sandbox.http.post("/v1/models/rushes/camera-move/predictions", json={"input": value})
    body = answer.json()
    assert (answer.status_code, body["title"]) == (422, "Input validation failed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert [(f["field"], message in f["description"]) for f in body["invalid_fields"]] == [(field, True)]
    assert sandbox.ledger()["count"] == before


def test_every_form_of_schema_is_checked(sandbox: Sandbox) -> None:
    right = {
        "prompt": "x",
        "scale": "big",
        "style": "rich",
        "steps": 8,
        "mode": "png",
        "api_key": "k",
        "reference_images": ["https://x/y"],
        "size": "64x36",
        "unknown": 1,
    }
    made = sandbox.create("rushes/every-form", right)
    assert "unknown" not in made["input"]
    wrong = {
        "scale": 0,
        "style": "odd",
        "steps": 5,
        "mode": "gif",
        "reference_images": [1],
        "size": "big",
        "fast": "yes",
    }
    answer = sandbox.http.post("/v1/models/rushes/every-form/predictions", json={"input": wrong})
    fields = {f["field"] for f in answer.json()["invalid_fields"]}
    assert fields == {
        "input",
        "input.scale",
        "input.style",
        "input.steps",
        "input.mode",
        "input.reference_images.0",
        "input.size",
        "input.fast",
    }


def test_an_official_model_fails_by_its_version_and_runs_by_its_name(sandbox: Sandbox) -> None:
    version = sandbox.http.get("/v1/models/rushes/instant").json()["latest_version"]["id"]

    def ended(reference: str) -> Any:
        made = sandbox.http.post("/v1/predictions", json={"version": reference, "input": {}})
        assert made.status_code == 201
        return sandbox.ended(made.json())

    for reference in (version, f"rushes/instant:{version}"):
        failed = ended(reference)
        assert (failed["status"], failed["started_at"]) == ("failed", None)
        assert "E9828" in failed["error"]
    assert ended("rushes/instant")["status"] == "succeeded"


def test_versions(sandbox: Sandbox) -> None:
    def create(version: str) -> tuple[int, str]:
        answer = sandbox.http.post("/v1/predictions", json={"version": version, "input": {"prompt": "x"}})
        return answer.status_code, answer.json().get("title", answer.json().get("model"))

    still = sandbox.http.get("/v1/models/rushes/still").json()["latest_version"]["id"]
    bare = sandbox.http.get("/v1/models/rushes/no-schema").json()["latest_version"]
    assert bare["openapi_schema"] is None
    assert create(still) == create(f"rushes/still:{still}") == create("rushes/still") == (201, "rushes/still")
    assert create(bare["id"]) == (201, "rushes/no-schema")
    refused = (422, "Invalid version or not permitted")
    assert (
        create(f"rushes/instant:{still}")
        == create("rushes/still:latest")
        == create("rushes/no-schema")
        == refused
    )
    assert sandbox.http.get(f"/v1/models/rushes/instant/versions/{still}").status_code == 404
    assert sandbox.http.get("/v1/models/rushes/no-version").json()["latest_version"] is None


def test_a_model_without_a_schema_takes_any_input(sandbox: Sandbox) -> None:
    version = sandbox.http.get("/v1/models/rushes/no-schema").json()["latest_version"]["id"]
    body = {"version": version, "input": {"num_outputs": "many"}}
    made = sandbox.http.post("/v1/predictions", json=body)
    assert made.status_code == 201
    assert sandbox.ended(made.json())["status"] == "failed"


def test_digits_that_are_no_number_are_no_fault_of_ours(sandbox: Sandbox) -> None:
    assert sandbox.http.get("/v1/search", params={"query": "still", "limit": "²"}).status_code == 200
    assert sandbox.http.get("/v1/files/none/download", params={"expiry": "²"}).status_code == 403


def test_list_by_time(sandbox: Sandbox) -> None:
    first, second, third = (sandbox.create() for _ in range(3))
    query = {"created_after": second["created_at"], "created_before": third["created_at"]}
    found = sandbox.http.get("/v1/predictions", params=query).json()["results"]
    assert [p["id"] for p in found] == [second["id"]]
    assert sandbox.http.get("/v1/predictions?created_after=soon").status_code == 400
    assert sandbox.http.get("/v1/predictions?cursor=zzz").status_code == 400
    assert first["id"] in {p["id"] for p in sandbox.http.get("/sandbox/predictions").json()["predictions"]}


def test_ledger_has_one_charge_for_each_create(sandbox: Sandbox) -> None:
    before = sandbox.ledger()
    made = sandbox.create("rushes/title-card", {"text": "Hi", "duration": 3}, webhook="http://127.0.0.1:9/x")
    after = sandbox.ledger()
    charge = after["charges"][-1]
    assert after["count"] == before["count"] + 1
    assert after["total_micros"] - before["total_micros"] == charge["amount_micros"] == 15_000
    assert (charge["prediction_id"], charge["model"]) == (made["id"], "rushes/title-card")
    assert charge["webhook"] == "http://127.0.0.1:9/x"
    twin = sandbox.create("rushes/title-card", {"duration": 3, "text": "Hi"})
    twins = {c["prediction_id"]: c["input_hash"] for c in sandbox.ledger()["charges"]}
    assert twins[twin["id"]] == charge["input_hash"]


def test_files_have_validators_and_ranges(sandbox: Sandbox) -> None:
    address = sandbox.output()
    head, whole = sandbox.http.head(address), sandbox.http.get(address)
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["etag"] == whole.headers["etag"]
    assert whole.headers["etag"].startswith('"')
    part = sandbox.http.get(address, headers={"range": "bytes=100-199", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert sandbox.http.get(address, headers={"range": "bytes=-10"}).content == whole.content[-10:]
    changed = sandbox.http.get(address, headers={"range": "bytes=100-", "if-range": '"other"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    beyond = sandbox.http.get(address, headers={"range": f"bytes={len(whole.content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.content)}")


def test_outputs_expire_on_the_virtual_clock(sandbox: Sandbox) -> None:
    made = sandbox.ended(sandbox.create())
    sandbox.clock(virtual=True)
    sandbox.clock(advance=3590)
    assert sandbox.http.get(made["output"]).status_code == 200
    assert sandbox.get(made)["data_removed"] is False
    sandbox.clock(advance=20)
    assert sandbox.http.get(made["output"]).status_code == 404
    gone = sandbox.get(made)
    assert (gone["output"], gone["data_removed"], gone["status"]) == (None, True, "succeeded")
    assert made["id"] in {p["id"] for p in sandbox.http.get("/v1/predictions").json()["results"]}


def test_starting_takes_virtual_time(sandbox: Sandbox, until: Any) -> None:
    sandbox.clock(virtual=True)
    made = sandbox.create("rushes/still", {"prompt": "x"})
    assert sandbox.get(made)["status"] == "starting"
    # More than once: a step that begins after an advance waits for the next one.
    over = ("succeeded", "failed", "canceled")
    until(lambda: sandbox.clock(advance=1) and sandbox.get(made)["status"] in over, within=60)
    ended = sandbox.get(made)
    assert ended["status"] == "succeeded", ended


def test_webhook_events_in_order_without_redirects(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    receiver.answers.append(302)
    made = sandbox.create(
        "rushes/still", {"prompt": "x"}, webhook=receiver.url, webhook_events_filter=["start", "completed"]
    )
    until(lambda: len(receiver.got) == 2)
    bodies = [json.loads(r.body) for r in receiver.got]
    assert [b["status"] for b in bodies] == ["processing", "succeeded"]
    assert bodies[1]["output"] == sandbox.get(made)["output"]


def test_terminal_webhook_is_retried_with_one_id(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    receiver.answers += [500, 404]
    sandbox.clock(virtual=True)
    sandbox.create(webhook=receiver.url, webhook_events_filter=["completed"])
    until(lambda: len(receiver.got) == 1)
    until(lambda: sandbox.clock(advance=1) and len(receiver.got) == 2)
    until(lambda: sandbox.clock(advance=2) and len(receiver.got) == 3)
    assert len({r.headers["webhook-id"] for r in receiver.got}) == 1


def test_a_redirect_loses_a_webhook(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    receiver.answers.append(302)
    sandbox.clock(virtual=True)
    lost = sandbox.create(webhook=receiver.url, webhook_events_filter=["completed"])
    until(lambda: len(receiver.got) == 1)
    sandbox.create(webhook=receiver.url, webhook_events_filter=["completed"])
    until(lambda: sandbox.clock(advance=1) and len(receiver.got) >= 2)
    for _ in range(5):
        sandbox.clock(advance=10)
        sandbox.get(lost)
    assert [json.loads(r.body)["id"] == lost["id"] for r in receiver.got] == [True, False]


def test_bundle_output_is_an_object(sandbox: Sandbox) -> None:
    made = sandbox.ended(sandbox.create("rushes/bundle", {"prompt": "x"}))
    assert sandbox.http.head(made["output"]["video"]).status_code == 200


def test_unknown_things_are_problems(sandbox: Sandbox) -> None:
    for path in ("/v1/predictions/none", "/v1/models/no/body", "/v1/collections/none", "/v1/nothing"):
        answer = sandbox.http.get(path)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
    assert sandbox.http.post("/v1/predictions", content=b"{").status_code == 400
    assert sandbox.http.post("/v1/predictions", json={"input": {}}).status_code == 422


def test_models_that_make_pictures_have_an_example(sandbox: Sandbox) -> None:
    models = sandbox.http.get("/v1/collections/text-to-image").json()["models"]
    for model in models:
        example = model["default_example"]
        assert set(example) >= KEYS
        assert (example["model"], example["status"]) == (f"{model['owner']}/{model['name']}", "succeeded")
        assert validate_input(example["input"], model["latest_version"]["openapi_schema"]) == (
            example["input"],
            [],
        )
    outputs = [m["default_example"]["output"] for m in models]
    assert {type(each) for each in outputs} == {str, list}
    first = outputs[0] if isinstance(outputs[0], str) else outputs[0][0]
    assert sandbox.http.get(first).content[:2] == b"\xff\xd8"
    assert sandbox.http.get("/v1/models/rushes/instant").json()["default_example"] is None


def test_search_and_readme(sandbox: Sandbox) -> None:
    found = sandbox.http.get("/v1/search", params={"query": "seedance", "limit": 2}).json()
    assert [m["model"]["owner"] for m in found["models"]] == ["bytedance", "bytedance"]
    assert (
        sandbox.http.request("QUERY", "/v1/models", content="veo-3-fast").json()["results"][0]["name"]
        == "veo-3-fast"
    )
    assert sandbox.http.get("/v1/models/rushes/still/readme").text.startswith("# still")
    assert sandbox.http.get("/covers/rushes/still.jpg").content[:2] == b"\xff\xd8"
