"""Serves models, their versions, collections and the search, in the provider's JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.core.models.domain.input_validation import example_input
from sandbox.core.models.domain.model import Collection, Model, ModelCatalog
from sandbox.core.predictions.domain.prediction import Prediction, Status, api_object, example_id
from sandbox.edges.http.fault_responses import FaultResponses
from sandbox.edges.http.responses import base_url, not_found, page, page_of_list

JSON = dict[str, Any]


class ModelRoutes:
    def __init__(self, catalog: ModelCatalog, fault_responses: FaultResponses) -> None:
        self._catalog = catalog
        self._fault_responses = fault_responses

    def routes(self) -> list[Route]:
        at = "/v1/models/{owner}/{name}"
        return [
            Route("/v1/models", self.list, methods=["GET", "QUERY"]),
            Route(at, self.get, methods=["GET"]),
            Route(f"{at}/readme", self.readme, methods=["GET"]),
            Route(f"{at}/examples", self.examples, methods=["GET"]),
            Route(f"{at}/versions", self.versions, methods=["GET"]),
            Route(f"{at}/versions/{{version}}", self.version, methods=["GET"]),
            Route("/v1/collections", self.collections, methods=["GET"]),
            Route("/v1/collections/{slug}", self.collection, methods=["GET"]),
            Route("/v1/search", self.search, methods=["GET"]),
        ]

    def _find(self, request: Request) -> Model | None:
        return self._catalog.model(f"{request.path_params['owner']}/{request.path_params['name']}")

    async def list(self, request: Request) -> Response:
        """`QUERY` has the words to search for as its body."""
        query = (await request.body()).decode("utf-8", "replace") if request.method == "QUERY" else ""

        async def answer() -> Response:
            shown = [model_json(m, base_url(request)) for m in self._catalog.search(query)]
            return page_of_list(request, shown)

        return await self._fault_responses.apply("models", None, answer)

    async def get(self, request: Request) -> Response:
        found = self._find(request)

        async def answer() -> Response:
            return not_found("Model") if found is None else JSONResponse(model_json(found, base_url(request)))

        return await self._fault_responses.apply("models", found.full_name if found else None, answer)

    async def readme(self, request: Request) -> Response:
        found = self._find(request)
        if found is None:
            return not_found("Model")
        return PlainTextResponse(f"# {found.name}\n\n{found.description}.\n")

    async def examples(self, request: Request) -> Response:
        """Always empty: no examples are stored."""
        return not_found("Model") if self._find(request) is None else page(request, [], None)

    async def versions(self, request: Request) -> Response:
        found = self._find(request)
        if found is None:
            return not_found("Model")
        return page(request, [version_json(found)] if found.versioned else [], None)

    async def version(self, request: Request) -> Response:
        found = self._find(request)
        if found is None or not found.versioned or found.version != request.path_params["version"]:
            return not_found("Version")
        return JSONResponse(version_json(found))

    async def collections(self, request: Request) -> Response:

        async def answer() -> Response:
            return page_of_list(request, [_collection_json(c) for c in self._catalog.collections.values()])

        return await self._fault_responses.apply("collections", None, answer)

    async def collection(self, request: Request) -> Response:
        found = self._catalog.collections.get(request.path_params["slug"])

        async def answer() -> Response:
            if found is None:
                return not_found("Collection")
            models = [model_json(m, base_url(request)) for m in self._catalog.in_collection(found.slug)]
            return JSONResponse({**_collection_json(found), "full_description": None, "models": models})

        return await self._fault_responses.apply("collections", None, answer)

    async def search(self, request: Request) -> Response:
        query = request.query_params.get("query", "")
        given = request.query_params.get("limit", "20")
        limit = min(50, max(1, int(given))) if given.isdigit() else 20
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
            for m in self._catalog.search(query)[:limit]
        ]
        collections = [
            _collection_json(c) for c in self._catalog.collections.values() if query.lower() in c.name.lower()
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


def _collection_json(collection: Collection) -> JSON:
    return {"slug": collection.slug, "name": collection.name, "description": collection.description}
