"""Models, their versions, collections and the search over HTTP, in the provider's shapes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.core.models.domain.input_validation import example_input
from sandbox.core.models.domain.model import Catalogue, Collection, Model
from sandbox.core.predictions.domain.prediction import Prediction, Status, example_id, show
from sandbox.edges.http.fault_responses import Troubles
from sandbox.edges.http.responses import base_of, not_found, page, sliced

JSON = dict[str, Any]


class Models:
    """The handlers of `/v1/models`, `/v1/collections` and `/v1/search`."""

    def __init__(self, catalogue: Catalogue, troubles: Troubles) -> None:
        self._catalogue = catalogue
        self._troubles = troubles

    def routes(self) -> list[Route]:
        """The routes, to be mounted at the root."""
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
        return self._catalogue.model(f"{request.path_params['owner']}/{request.path_params['name']}")

    async def list(self, request: Request) -> Response:
        """GET /v1/models, and QUERY /v1/models with the words to look for as its body."""
        query = (await request.body()).decode("utf-8", "replace") if request.method == "QUERY" else ""

        async def answer() -> Response:
            shown = [model_json(m, base_of(request)) for m in self._catalogue.search(query)]
            return sliced(request, shown)

        return await self._troubles.around("models", None, answer)

    async def get(self, request: Request) -> Response:
        """GET /v1/models/{owner}/{name}."""
        found = self._find(request)

        async def answer() -> Response:
            return not_found("Model") if found is None else JSONResponse(model_json(found, base_of(request)))

        return await self._troubles.around("models", found.full_name if found else None, answer)

    async def readme(self, request: Request) -> Response:
        """GET …/readme."""
        found = self._find(request)
        if found is None:
            return not_found("Model")
        return PlainTextResponse(f"# {found.name}\n\n{found.description}.\n")

    async def examples(self, request: Request) -> Response:
        """GET …/examples: none are kept."""
        return not_found("Model") if self._find(request) is None else page(request, [], None)

    async def versions(self, request: Request) -> Response:
        """GET …/versions."""
        found = self._find(request)
        if found is None:
            return not_found("Model")
        return page(request, [version_json(found)] if found.versioned else [], None)

    async def version(self, request: Request) -> Response:
        """GET …/versions/{version}."""
        found = self._find(request)
        if found is None or not found.versioned or found.version != request.path_params["version"]:
            return not_found("Version")
        return JSONResponse(version_json(found))

    async def collections(self, request: Request) -> Response:
        """GET /v1/collections: without their models."""

        async def answer() -> Response:
            return sliced(request, [_shelf_json(c) for c in self._catalogue.collections.values()])

        return await self._troubles.around("collections", None, answer)

    async def collection(self, request: Request) -> Response:
        """GET /v1/collections/{slug}: with every model in full."""
        found = self._catalogue.collections.get(request.path_params["slug"])

        async def answer() -> Response:
            if found is None:
                return not_found("Collection")
            models = [model_json(m, base_of(request)) for m in self._catalogue.shelf(found.slug)]
            return JSONResponse({**_shelf_json(found), "full_description": None, "models": models})

        return await self._troubles.around("collections", None, answer)

    async def search(self, request: Request) -> Response:
        """GET /v1/search?query=&limit=."""
        query = request.query_params.get("query", "")
        given = request.query_params.get("limit", "20")
        limit = min(50, max(1, int(given))) if given.isdigit() else 20
        base = base_of(request)
        models = [
            {
                "model": model_json(m, base),
                "metadata": {
                    "generated_description": m.description,
                    "tags": list(m.collections),
                    "score": 1.0,
                },
            }
            for m in self._catalogue.search(query)[:limit]
        ]
        shelves = [
            _shelf_json(c) for c in self._catalogue.collections.values() if query.lower() in c.name.lower()
        ]
        return JSONResponse({"query": query, "models": models, "collections": shelves, "pages": []})


def model_json(model: Model, base: str) -> JSON:
    """The model object."""
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
    """A finished prediction, for models whose output the cover may stand for: those that make pictures."""
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
    return show(example, made, base=base, official=model.official)


def version_json(model: Model) -> JSON:
    """The version object."""
    return {
        "id": model.version,
        "created_at": model.created_at,
        "cog_version": "0.22.0",
        "openapi_schema": model.openapi,
    }


def _shelf_json(collection: Collection) -> JSON:
    return {"slug": collection.slug, "name": collection.name, "description": collection.description}
