"""Serves models, their versions, collections and the search, in the provider's JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.core.models.domain.input_validation import example_input
from sandbox.core.models.domain.model import Model, ModelCatalog
from sandbox.core.predictions.domain.prediction import Prediction, Status, api_object, example_id
from sandbox.edges.http.fault_responses import FaultResponses
from sandbox.edges.http.responses import base_url, full_name, not_found, page, page_of_list

JSON = dict[str, Any]


@dataclass(frozen=True)
class ModelRoutes:
    catalog: ModelCatalog
    fault_responses: FaultResponses

    def routes(self) -> list[Route]:
        at, around = "/v1/models/{owner}/{name}", self.fault_responses.around
        return [
            Route("/v1/models", around("models", self.list), methods=["GET", "QUERY"]),
            Route(at, self.get, methods=["GET"]),
            Route(f"{at}/readme", self.readme, methods=["GET"]),
            Route(f"{at}/examples", self.examples, methods=["GET"]),
            Route(f"{at}/versions", self.versions, methods=["GET"]),
            Route(f"{at}/versions/{{version}}", self.version, methods=["GET"]),
            Route("/v1/collections", around("collections", self.collections), methods=["GET"]),
            Route("/v1/collections/{slug}", around("collections", self.collection), methods=["GET"]),
            Route("/v1/search", self.search, methods=["GET"]),
        ]

    def _find(self, request: Request) -> Model:
        found = self.catalog.model(full_name(request))
        if found is None:
            raise not_found("Model")
        return found

    async def list(self, request: Request) -> Response:
        """`QUERY` has the words to search for as its body."""
        query = (await request.body()).decode("utf-8", "replace") if request.method == "QUERY" else ""
        shown = [model_json(m, base_url(request)) for m in self.catalog.search(query)]
        return page_of_list(request, shown)

    async def get(self, request: Request) -> Response:
        async def answer() -> Response:
            return JSONResponse(model_json(self._find(request), base_url(request)))

        known = self.catalog.model(full_name(request))
        return await self.fault_responses.apply("models", known.full_name if known else None, answer)

    async def readme(self, request: Request) -> Response:
        found = self._find(request)
        return PlainTextResponse(f"# {found.name}\n\n{found.description}.\n")

    async def examples(self, request: Request) -> Response:
        """Always empty: no examples are stored."""
        self._find(request)
        return page(request, [], None)

    async def versions(self, request: Request) -> Response:
        found = self._find(request)
        return page(request, [version_json(found)] if found.versioned else [], None)

    async def version(self, request: Request) -> Response:
        found = self.catalog.model(full_name(request))
        if found is None or not found.versioned or found.version != request.path_params["version"]:
            raise not_found("Version")
        return JSONResponse(version_json(found))

    async def collections(self, request: Request) -> Response:
        return page_of_list(request, [asdict(c) for c in self.catalog.collections.values()])

    async def collection(self, request: Request) -> Response:
        found = self.catalog.collections.get(request.path_params["slug"])
        if found is None:
            raise not_found("Collection")
        models = [model_json(m, base_url(request)) for m in self.catalog.in_collection(found.slug)]
        return JSONResponse({**asdict(found), "full_description": None, "models": models})

    async def search(self, request: Request) -> Response:
        query = request.query_params.get("query", "")
        given = request.query_params.get("limit", "20")
        limit = min(50, max(1, int(given))) if given.isdecimal() else 20
        base = base_url(request)
        models = [
            {
                "model": model_json(m, base),
                "metadata": {
                    "generated_description": m.description,
                    "tags": list(m.collections),
                    "score": 1.0,
                },
            }
            for m in self.catalog.search(query)[:limit]
        ]
        collections = [
            asdict(c) for c in self.catalog.collections.values() if query.lower() in c.name.lower()
        ]
        return JSONResponse({"query": query, "models": models, "collections": collections, "pages": []})


def model_json(model: Model, base: str) -> JSON:
    return {
        "url": f"{base}/{model.full_name}",
        "owner": model.owner,
        "name": model.name,
        "description": model.description,
        "visibility": "public",
        "is_official": model.official,
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "weights_url": None,
        "run_count": model.run_count,
        "cover_image_url": f"{base}/covers/{model.full_name}.jpg",
        "created_at": model.created_at,
        "default_example": _example(model, base),
        "latest_version": version_json(model) if model.versioned else None,
    }


def _example(model: Model, base: str) -> JSON | None:
    """A finished prediction, for models that make pictures: the cover stands for its output."""
    if model.kind != "image" or model.openapi is None:
        return None
    picture = f"{base}/covers/{model.full_name}.jpg"
    made = datetime.fromisoformat(model.created_at)
    example = Prediction(
        id=example_id(model.full_name),
        model=model.full_name,
        version=model.version,
        input=example_input(model.openapi, prompt=model.description, file=picture),
        created_at=made,
        started_at=made,
        completed_at=made + timedelta(seconds=model.run_s),
        base=base,
        status=Status.SUCCEEDED,
        output=[picture] if model.form == "list" else picture,
        metrics={"predict_time": model.run_s, "total_time": model.run_s},
    )
    return api_object(example, made, base=base, official=model.official)


def version_json(model: Model) -> JSON:
    return {
        "id": model.version,
        "created_at": model.created_at,
        "cog_version": "0.22.0",
        "openapi_schema": model.openapi,
    }
