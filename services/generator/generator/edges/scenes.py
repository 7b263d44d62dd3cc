"""PlanService: plans scenes from photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import grpc.aio

from generator.core.models.model_catalog import DefaultModels
from generator.core.scenes.domain.photos import Photo, PhotoFeatures
from generator.core.scenes.domain.scene_planner import ScenePlanRequest, plan_scenes
from generator.edges.provider_access_errors import refused_access_is_unavailable
from rushes.generator.v1 import plan_pb2 as pb
from rushes.generator.v1 import plan_pb2_grpc
from servicekit.errors import Invalid

DETERMINISTIC = "deterministic"
PLANNERS = ("", DETERMINISTIC, "llm")
"""What a request may name; one for a language model is answered that this planner chose instead."""


class PhotoFeatureReader(Protocol):
    """Measures photos."""

    async def read(self, photos: Sequence[Photo]) -> dict[str, PhotoFeatures]:
        """By asset id; photos that cannot be read are missing."""
        ...


class PlanService(plan_pb2_grpc.PlanServiceServicer):
    """Plans without a language model; whichever planner is requested, this one is there."""

    def __init__(self, photo_features: PhotoFeatureReader, default_models: DefaultModels) -> None:
        self._photo_features = photo_features
        self._default_models = default_models

    @refused_access_is_unavailable()
    async def PlanScenes(
        self, request: pb.PlanScenesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.PlanScenesResponse:
        if request.planner not in PLANNERS:
            message = f"{request.planner[:40]!r} is no planner: write deterministic or llm, or leave it out"
            raise Invalid.field("planner", message, sentence=message)
        photos = [_photo(each) for each in request.photos]
        features = await self._photo_features.read(photos)
        plan_request = ScenePlanRequest(
            scene_count=request.scene_count,
            scene_seconds=request.scene_seconds,
            brief=request.brief,
            brand_guidelines=request.brand_guidelines,
            width=request.width or 1920,
            height=request.height or 1080,
        )
        model = request.model or await self._default_models.scene()
        return pb.PlanScenesResponse(
            scenes=[
                pb.PlannedScene(
                    first_asset_id=scene.asset_id,
                    prompt=scene.prompt,
                    seconds=scene.seconds,
                    reason=scene.reason,
                    model=model,
                )
                for scene in plan_scenes(photos, features, plan_request)
            ],
            planner=DETERMINISTIC,
            music_model=await self._default_models.music(),
            pair_model=await self._default_models.pair(),
        )


def _photo(photo: pb.Photo) -> Photo:
    return Photo(
        asset_id=photo.asset_id,
        name=photo.name,
        description=photo.description,
        tags=tuple(photo.tags),
        blob_key=photo.blob_key,
        width=photo.width,
        height=photo.height,
        sha256=photo.sha256,
    )
