"""Calls the generator over gRPC; the channel raises its errors as app errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from catalog.core.campaigns.domain import Asset
from catalog.core.jobs.ports import Plan, PlannedScene, PlanRequest, SceneParts
from catalog.core.shared.domain import RunSpec
from catalog.proto_enums import KIND_FROM_PROTO
from rushes.generator.v1 import models_pb2, models_pb2_grpc, plan_pb2, plan_pb2_grpc

PREPARE_S, PLAN_S = 10.0, 120.0
"""Deadlines in seconds: a check reads a cached schema; a plan reads every photo, or waits for an LLM."""


class GrpcGenerator:
    """`Generator` and `ScenePlanner`."""

    def __init__(
        self, models: models_pb2_grpc.ModelServiceAsyncStub, plans: plan_pb2_grpc.PlanServiceAsyncStub
    ) -> None:
        self._models = models
        self._plans = plans

    async def prepare(self, model: str, version: str, input: Mapping[str, Any]) -> RunSpec:  # noqa: A002  # the contract's word
        given = json_format.ParseDict(dict(input), Struct())
        return await self._prepare(models_pb2.PrepareInputRequest(model=model, version=version, input=given))

    async def prepare_scene(self, model: str, parts: SceneParts) -> RunSpec:
        scene = models_pb2.SceneInput(**vars(parts))  # its fields have the same names
        return await self._prepare(models_pb2.PrepareInputRequest(model=model, scene=scene))

    async def plan(self, request: PlanRequest) -> Plan:
        job = request.job
        answer = await self._plans.PlanScenes(
            plan_pb2.PlanScenesRequest(
                photos=[_photo(asset) for asset in request.photos],
                brief=request.brief,
                brand_guidelines=request.brand_guidelines,
                scene_count=job.scene_count,
                scene_seconds=job.scene_seconds,
                planner=job.planner,
                model=job.model,
                width=job.width,
                height=job.height,
            ),
            timeout=PLAN_S,
        )
        scenes = tuple(
            PlannedScene(
                each.first_asset_id,
                each.last_asset_id,
                each.prompt,
                each.seconds or job.scene_seconds,
                each.reason,
                each.model or job.model,
            )
            for each in answer.scenes
        )
        return Plan(scenes, answer.planner, answer.music_model, answer.pair_model)

    async def _prepare(self, request: models_pb2.PrepareInputRequest) -> RunSpec:
        answer = await self._models.PrepareInput(request, timeout=PREPARE_S)
        return RunSpec(
            provider=answer.provider,
            model=answer.model,
            version=answer.version,
            kind=KIND_FROM_PROTO[answer.kind],
            input=json_format.MessageToDict(answer.input),
            estimate_micros=answer.estimate_micros,
            basis=answer.estimate_basis,
            reserve_micros=answer.reserve_micros,
            deadline_s=answer.deadline_s,
            secrets=tuple(answer.secret_fields),
            assets=tuple(answer.asset_ids),
        )


def _photo(asset: Asset) -> plan_pb2.Photo:
    return plan_pb2.Photo(
        asset_id=asset.id,
        name=asset.name,
        description=asset.description or "",
        tags=list(asset.tags),
        blob_key=asset.blob_key,
        width=asset.facts.width,
        height=asset.facts.height,
        sha256=asset.facts.sha256,
    )
