"""ModelService: answers what the provider can run, and prepares inputs for it."""

from __future__ import annotations

from typing import Any

import grpc.aio
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value

from generator.core.inputs.prepare_input import prepare_input
from generator.core.models.domain.model_schema import Parameter, ParameterType
from generator.core.models.domain.prices import PriceTable
from generator.core.models.model_catalog import ListedModel, ModelCatalog
from generator.core.scenes.domain.scene_to_input import SceneInput
from generator.edges.provider_access_errors import refused_access_is_unavailable
from generator.proto_enums import MEDIA_KINDS
from rushes.generator.v1 import models_pb2 as pb
from rushes.generator.v1 import models_pb2_grpc
from servicekit.errors import Invalid

PAGE_SIZE = 50

PARAMETER_TYPES = {
    ParameterType.STRING: pb.PARAMETER_TYPE_STRING,
    ParameterType.INTEGER: pb.PARAMETER_TYPE_INTEGER,
    ParameterType.NUMBER: pb.PARAMETER_TYPE_NUMBER,
    ParameterType.BOOLEAN: pb.PARAMETER_TYPE_BOOLEAN,
    ParameterType.FILE: pb.PARAMETER_TYPE_FILE,
    ParameterType.ARRAY: pb.PARAMETER_TYPE_ARRAY,
    ParameterType.OBJECT: pb.PARAMETER_TYPE_OBJECT,
    ParameterType.ANY: pb.PARAMETER_TYPE_UNSPECIFIED,
}
Context = grpc.aio.ServicerContext[Any, Any]


class ModelService(models_pb2_grpc.ModelServiceServicer):
    def __init__(self, catalog: ModelCatalog, prices: PriceTable, *, provider: str, deadline: float) -> None:
        self._catalog = catalog
        self._prices = prices
        self._provider = provider
        self._deadline = deadline

    @refused_access_is_unavailable()
    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        start = _offset(request.page_token)
        cached = await self._catalog.models(request.collection)
        wanted = [listed for listed in cached.value if _matches(listed, request.q)]
        end = start + (request.page_size or PAGE_SIZE)
        return pb.ListModelsResponse(
            models=[self._model(listed) for listed in wanted[start:end]],
            next_page_token=str(end) if end < len(wanted) else "",
            stale=cached.stale,
        )

    @refused_access_is_unavailable()
    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: Context
    ) -> pb.ListCollectionsResponse:
        cached = await self._catalog.collections()
        return pb.ListCollectionsResponse(
            collections=[
                pb.Collection(slug=each.slug, name=each.name, description=each.description)
                for each in cached.value
            ],
            stale=cached.stale,
        )

    @refused_access_is_unavailable()
    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        return self._model(await self._catalog.listed_model(request.owner, request.name))

    @refused_access_is_unavailable()
    async def GetModelSchema(self, request: pb.GetModelSchemaRequest, context: Context) -> pb.ModelSchema:
        """A model's parameters, in order; none when it publishes no schema."""
        model = await self._catalog.model(request.owner, request.name)
        parameters = await self._catalog.parameters(request.owner, request.name, request.version)
        return pb.ModelSchema(
            model=model.full_name,
            version=request.version or model.version,
            parameters=[_parameter(each) for each in parameters or ()],
        )

    @refused_access_is_unavailable()
    async def PrepareInput(
        self, request: pb.PrepareInputRequest, context: Context
    ) -> pb.PrepareInputResponse:
        scene, raw = request.scene, request.input
        given = _scene_input(scene) if request.HasField("scene") else json_format.MessageToDict(raw)
        priced = await prepare_input(
            self._catalog, self._prices, request.model, request.version, given, longest=self._deadline
        )
        run, checked = priced.spec, Struct()
        checked.update(run.input)
        return pb.PrepareInputResponse(
            model=run.model,
            version=run.version,
            input=checked,
            kind=MEDIA_KINDS[run.kind],
            estimate_micros=priced.estimate.micros,
            estimate_basis=priced.estimate.basis,
            provider=self._provider,
            reserve_micros=priced.reserve_micros,
            deadline_s=run.deadline_s,
            secret_fields=run.secret_fields,
            asset_ids=run.asset_ids,
        )

    def _model(self, listed: ListedModel) -> pb.Model:
        model = listed.model
        price = self._prices.own_price(model.full_name)
        return pb.Model(
            owner=model.owner,
            name=model.name,
            description=model.description,
            cover_image_url=model.cover_image_url,
            run_count=model.run_count,
            official=model.official,
            version=model.version,
            collections=listed.collections,
            price_hint=price.hint if price else "",
            kind=MEDIA_KINDS[listed.kind],
        )


def _matches(listed: ListedModel, words: str) -> bool:
    text = f"{listed.model.full_name} {listed.model.description}".lower()
    return all(word in text for word in words.lower().split())


def _offset(token: str) -> int:
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        message = f"{token[:40]!r} is no page token; pass next_page_token of the page before, or none"
        raise Invalid.field("page_token", message, sentence=message)
    return int(token or 0)


def _scene_input(scene: pb.SceneInput) -> SceneInput:
    return SceneInput(
        scene.prompt, scene.first_image, scene.last_image, scene.seconds, scene.width, scene.height
    )


def _parameter(each: Parameter) -> pb.Parameter:
    return pb.Parameter(
        name=each.name,
        type=PARAMETER_TYPES[each.type],
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
        multiple=each.type is ParameterType.ARRAY,
        item_type=PARAMETER_TYPES[each.items.type] if each.items else pb.PARAMETER_TYPE_UNSPECIFIED,
        secret=each.secret,
        items=_parameter(each.items) if each.items else None,
        variants=[_parameter(variant) for variant in each.variants],
        pattern=each.pattern,
        accept=each.accept,
        deprecated=each.deprecated,
    )


def _value(raw: Any) -> Value:
    return json_format.ParseDict(raw, Value())
