"""The OpenAPI document: valid, complete, and shown on a page that needs nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _app(running: Any) -> Any:
    app = running.gateway.http._app
    while not hasattr(app, "routes"):
        app = app._app
    return app


async def test_it_is_valid(running: Any) -> None:
    document = (await running.http.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


async def test_every_route_of_the_app_stands_in_it_and_no_other(running: Any) -> None:
    document = (await running.http.get("/api/openapi.json")).json()
    blank = re.compile(r"\{[^}]*\}")
    described = {
        (verb.upper(), blank.sub("{}", path)) for path, item in document["paths"].items() for verb in item
    }
    routes = _app(running).routes
    assert all(isinstance(route, Route) for route in routes)
    there = {(method, blank.sub("{}", route.path)) for route in routes for method in route.methods}
    assert described <= there
    # HEAD comes with every GET; it is described where it is of use.
    assert {pair for pair in there - described if pair[0] != "HEAD"} == set()


async def test_rules_and_comments_of_the_contracts_are_shown(running: Any) -> None:
    document = (await running.http.get("/api/openapi.json")).json()
    schemas, paths = document["components"]["schemas"], document["paths"]
    pair = schemas["ImagePair"]
    assert pair["required"] == ["first_asset_id", "last_asset_id"]
    assert pair["additionalProperties"] is False
    assert pair["properties"]["seconds"]["maximum"] == 30
    assert pair["properties"]["first_asset_id"]["pattern"].startswith("^ast_")
    assert pair["properties"]["prompt"]["description"] == "What should happen between them."
    job = schemas["Job"]
    assert set(job["required"]) == set(job["properties"])
    assert {"type": "null"} in job["properties"]["result"]["anyOf"]
    assert schemas["JobStatus"]["enum"][0] == "draft"
    assert "unspecified" not in json.dumps(document)
    create = paths["/api/v3/campaigns/{campaign_id}/create-job"]["post"]
    assert {"201", "202", "default"} <= set(create["responses"])
    assert "campaign_id" not in create["requestBody"]["content"]["application/json"]["schema"]["properties"]
    listed = paths["/api/v3/jobs"]["get"]
    assert [p["name"] for p in listed["parameters"]] == ["page_size", "page_token", "campaign_id", "status"]
    assert listed["security"] == [{"ApiKey": []}, {"Bearer": []}]
    assert paths["/healthz"]["get"]["security"] == []


async def test_everything_has_words(running: Any) -> None:
    document = (await running.http.get("/api/openapi.json")).json()
    names = [entry.get("operationId") for item in document["paths"].values() for entry in item.values()]
    assert len([n for n in names if n]) == len({n for n in names if n})
    for path, item in document["paths"].items():
        for verb, entry in item.items():
            assert entry["summary"], (verb, path)
            assert entry["tags"], (verb, path)
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name


async def test_the_page_needs_nothing_from_anywhere(running: Any) -> None:
    home = await running.http.get("/")
    assert (home.status_code, home.headers["location"]) == (302, "/docs")
    answer = await running.http.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|src=|https?://|url\(|@import", answer.text)
    document = (await running.http.get("/api/openapi.json")).json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in answer.text


async def test_the_page_shows_code_as_code(running: Any) -> None:
    page = (await running.http.get("/docs")).text
    assert "<code>application/problem+json</code>" in page
    assert not re.search(r"`[^`<]+`", page)
