"""ModelService: what the provider can run, and what an input for it must be."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value

from generator.core.inputs.prepare_input import prepare
from generator.core.models.domain.model_schema import Parameter, Type
from generator.core.models.domain.prices import PriceTable
from generator.core.models.model_catalog import Listed, Shelf
from generator.core.scenes.domain.scene_to_input import Scene
from generator.edges.provider_access_errors import our_access
from generator.proto_enums import KINDS
from rushes.generator.v1 import models_pb2, models_pb2_grpc
from servicekit.errors import FieldProblem, Invalid

PAGE = 50

TYPES = {
    Type.STRING: models_pb2.PARAMETER_TYPE_STRING,
    Type.INTEGER: models_pb2.PARAMETER_TYPE_INTEGER,
    Type.NUMBER: models_pb2.PARAMETER_TYPE_NUMBER,
    Type.BOOLEAN: models_pb2.PARAMETER_TYPE_BOOLEAN,
    Type.FILE: models_pb2.PARAMETER_TYPE_FILE,
    Type.ARRAY: models_pb2.PARAMETER_TYPE_ARRAY,
    Type.OBJECT: models_pb2.PARAMETER_TYPE_OBJECT,
    Type.ANY: models_pb2.PARAMETER_TYPE_UNSPECIFIED,
}
_Context = grpc.aio.ServicerContext[Any, Any]


class ModelService(models_pb2_grpc.ModelServiceServicer):
    """Models, schemas, inputs."""

    def __init__(self, shelf: Shelf, prices: PriceTable, *, provider: str, deadline: float) -> None:
        self._shelf = shelf
        self._prices = prices
        self._provider = provider
        self._deadline = deadline

    @our_access()
    async def ListModels(
        self,
        request: models_pb2.ListModelsRequest,
        context: _Context,
    ) -> models_pb2.ListModelsResponse:
        """A page of models, filtered."""
        start = _offset(request.page_token)
        known = await self._shelf.models(request.collection)
        wanted = [listed for listed in known.value if _matches(listed, request.q)]
        end = start + (request.page_size or PAGE)
        return models_pb2.ListModelsResponse(
            models=[self._model(listed) for listed in wanted[start:end]],
            next_page_token=str(end) if end < len(wanted) else "",
            stale=known.stale,
        )

    @our_access()
    async def ListCollections(
        self,
        request: models_pb2.ListCollectionsRequest,
        context: _Context,
    ) -> models_pb2.ListCollectionsResponse:
        """All collections."""
        known = await self._shelf.collections()
        return models_pb2.ListCollectionsResponse(
            collections=[
                models_pb2.Collection(slug=each.slug, name=each.name, description=each.description)
                for each in known.value
            ],
            stale=known.stale,
        )

    @our_access()
    async def GetModel(
        self,
        request: models_pb2.GetModelRequest,
        context: _Context,
    ) -> models_pb2.Model:
        """One model."""
        return self._model(await self._shelf.model(request.owner, request.name))

    @our_access()
    async def GetModelSchema(
        self,
        request: models_pb2.GetModelSchemaRequest,
        context: _Context,
    ) -> models_pb2.ModelSchema:
        """A model's parameters, in order; none when it publishes no schema."""
        listed = await self._shelf.model(request.owner, request.name)
        parameters = await self._shelf.parameters(request.owner, request.name, request.version)
        return models_pb2.ModelSchema(
            model=listed.model.full_name,
            version=request.version or listed.model.version,
            parameters=[_parameter(each) for each in parameters or ()],
        )

    @our_access()
    async def PrepareInput(
        self,
        request: models_pb2.PrepareInputRequest,
        context: _Context,
    ) -> models_pb2.PrepareInputResponse:
        """Check and coerce an input, and say what its run should cost, and what it can cost."""
        given = (
            _scene(request.scene) if request.HasField("scene") else json_format.MessageToDict(request.input)
        )
        ready = await prepare(
            self._shelf, self._prices, request.model, request.version, given, longest=self._deadline
        )
        checked = Struct()
        checked.update(ready.input)
        return models_pb2.PrepareInputResponse(
            model=ready.model,
            version=ready.version,
            input=checked,
            kind=KINDS[ready.kind],
            estimate_micros=ready.estimate_micros,
            estimate_basis=ready.estimate_basis,
            provider=self._provider,
            reserve_micros=ready.reserve_micros,
            deadline_s=ready.deadline_s,
            secret_fields=ready.secrets,
            asset_ids=ready.assets,
        )

    def _model(self, listed: Listed) -> models_pb2.Model:
        model = listed.model
        price = self._prices.known(model.full_name)
        return models_pb2.Model(
            owner=model.owner,
            name=model.name,
            description=model.description,
            cover_image_url=model.cover_image_url,
            run_count=model.run_count,
            official=model.official,
            version=model.version,
            collections=listed.collections,
            price_hint=price.hint if price else "",
            kind=KINDS[listed.kind],
        )


def _matches(listed: Listed, words: str) -> bool:
    text = f"{listed.model.full_name} {listed.model.description}".lower()
    return all(word in text for word in words.lower().split())


def _offset(token: str) -> int:
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        message = f"{token[:40]!r} is no page token; pass next_page_token of the page before, or none"
        raise Invalid(message, fields=[FieldProblem("page_token", message)])
    return int(token or 0)


def _scene(scene: models_pb2.SceneInput) -> Scene:
    return Scene(
        prompt=scene.prompt,
        first_image=scene.first_image,
        last_image=scene.last_image,
        seconds=scene.seconds,
        width=scene.width,
        height=scene.height,
    )


def _parameter(each: Parameter) -> models_pb2.Parameter:
    return models_pb2.Parameter(
        name=each.name,
        type=TYPES[each.type],
        title=each.title,
        description=each.description,
        required=each.required,
        default=_value(None if each.secret else each.default),
        enum=[_value(option) for option in each.enum],
        minimum=each.minimum,
        maximum=each.maximum,
        min_length=each.min_length,
        max_length=each.max_length,
        format=each.format,
        multiple=each.type is Type.ARRAY,
        item_type=TYPES[each.items.type] if each.items else models_pb2.PARAMETER_TYPE_UNSPECIFIED,
        secret=each.secret,
        items=_parameter(each.items) if each.items else None,
        variants=[_parameter(variant) for variant in each.variants],
        pattern=each.pattern,
        accept=each.accept,
        deprecated=each.deprecated,
    )


def _value(raw: Any) -> Value:
    return json_format.ParseDict(raw, Value())
