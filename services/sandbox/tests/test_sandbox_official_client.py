"""The provider's own client, `replicate` 1.0.7, against a running sandbox."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import replicate
from PIL import Image
from replicate.exceptions import ModelError, ReplicateError
from replicate.webhook import InvalidSignatureError, Webhooks

if TYPE_CHECKING:
    from conftest import Receiver, Sandbox


def photo(size: tuple[int, int] = (640, 360)) -> io.BytesIO:
    out = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(out, "JPEG")
    out.seek(0)
    out.name = "photo.jpg"
    return out


def test_run_official_model(sandbox: Sandbox) -> None:
    assert sandbox.client.run("rushes/instant", input={}).startswith(f"{sandbox.url}/files/")


def test_run_community_model_by_version(sandbox: Sandbox) -> None:
    model = sandbox.client.models.get("studio-nord/slow-pan")
    reference = f"studio-nord/slow-pan:{model.latest_version.id}"
    output = sandbox.client.run(reference, input={"image": photo(), "duration": 2})
    assert sandbox.http.get(output).content[4:8] == b"ftyp"


def test_community_model_has_no_model_route(sandbox: Sandbox) -> None:
    with pytest.raises(ReplicateError) as caught:
        sandbox.client.models.predictions.create("studio-nord/slow-pan", input={"image": "https://x/y.jpg"})
    assert caught.value.status == 404


def test_create_get_wait(sandbox: Sandbox) -> None:
    made = sandbox.client.predictions.create(
        version="rushes/still", input={"prompt": "a kitchen", "num_outputs": 2}
    )
    assert made.status == "starting"
    made.wait()
    again = sandbox.client.predictions.get(made.id)
    assert again.status == "succeeded"
    assert len(again.output) == 2
    assert again.progress is not None
    assert again.metrics["image_output_count"] == 2


def test_cancel(sandbox: Sandbox, until: Any) -> None:
    sandbox.fault("stuck_processing")
    made = sandbox.client.predictions.create(version="rushes/instant", input={})
    until(lambda: sandbox.client.predictions.get(made.id).status == "processing")
    assert sandbox.client.predictions.cancel(made.id).status == "canceled"
    assert sandbox.client.predictions.cancel(made.id).status == "canceled"


def test_list_pages(sandbox: Sandbox) -> None:
    # The client cannot read `aborted`, so the list must hold none of the other tests' predictions.
    sandbox.clock(virtual=True)
    made = [sandbox.create()["id"] for _ in range(105)]
    first = sandbox.client.predictions.list()
    assert [p.id for p in first.results] == made[::-1][:100]
    after = sandbox.http.get(first.next).json()["results"]
    assert [p["id"] for p in after][:5] == made[4::-1]


def test_failed_run_raises_model_error(sandbox: Sandbox) -> None:
    sandbox.fault("E005")
    with pytest.raises(ModelError, match="E005"):
        sandbox.client.run("rushes/instant", input={})


def test_models_and_collections(sandbox: Sandbox) -> None:
    model = sandbox.client.models.get("google/veo-3-fast")
    fields = model.latest_version.openapi_schema["components"]["schemas"]["Input"]["properties"]
    assert {"prompt", "image", "last_frame", "duration", "aspect_ratio", "resolution"} <= set(fields)
    collection = sandbox.client.collections.get("text-to-video")
    assert {"google/veo-3-fast", "rushes/title-card"} <= {f"{m.owner}/{m.name}" for m in collection.models}
    slugs = {c.slug for c in sandbox.client.collections.list().results}
    assert {"text-to-video", "image-to-video", "text-to-image", "music-generation", "official"} <= slugs
    for slug in slugs:
        assert sandbox.client.collections.get(slug).slug == slug


def test_every_listed_model_has_a_version_the_client_can_read(sandbox: Sandbox) -> None:
    seen, page = [], sandbox.http.get("/v1/models").json()
    while True:
        seen += page["results"]
        if page["next"] is None:
            break
        page = sandbox.http.get(page["next"]).json()
    assert len(seen) > 50
    assert len({m["latest_version"]["id"] for m in seen if m["latest_version"]}) == len(seen) - 1


def test_files(sandbox: Sandbox) -> None:
    made = sandbox.client.files.create(
        photo(), filename="photo.jpg", content_type="image/jpeg", metadata={"a": 1}
    )
    assert (made.name, made.content_type, made.metadata) == ("photo.jpg", "image/jpeg", {"a": 1})
    assert sandbox.client.files.get(made.id).checksums["sha256"] == made.checksums["sha256"]
    assert made.id in {f.id for f in sandbox.client.files.list()}
    sandbox.client.files.delete(made.id)
    with pytest.raises(ReplicateError, match="File not found"):
        sandbox.client.files.get(made.id)


def test_webhooks_validate(sandbox: Sandbox, receiver: Receiver, until: Any) -> None:
    sandbox.create(webhook=receiver.url, webhook_events_filter=["completed"])
    until(lambda: receiver.got)
    secret = sandbox.client.webhooks.default.secret()
    got = receiver.got[0]
    Webhooks.validate(headers=got.headers, body=got.body.decode(), secret=secret, tolerance=60)
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=got.headers, body=got.body.decode() + " ", secret=secret)


def test_token_is_demanded(tmp_path_factory: pytest.TempPathFactory, running: Any) -> None:
    folder = tmp_path_factory.mktemp("guarded")
    environ = {"SANDBOX_LISTEN": "127.0.0.1:0", "SANDBOX_DATA": str(folder), "SANDBOX_TOKEN": "r8_right"}
    for guarded in running(environ):
        assert guarded.client.run("rushes/instant", input={}).startswith("http")
        wrong = replicate.Client(base_url=guarded.url, api_token="r8_wrong")
        with pytest.raises(ReplicateError) as caught:
            wrong.models.get("rushes/still")
        wrong._client.close()
        assert (caught.value.status, caught.value.title) == (401, "Unauthenticated")
        old = guarded.http.get("/v1/account", headers={"authorization": "Token r8_right"})
        assert old.status_code == 200
        bare = guarded.http.get("/sandbox/ledger", headers={"authorization": ""})
        assert bare.status_code == 401
