"""PlanService: scenes from photos."""

from __future__ import annotations

from typing import Any

import grpc.aio

from generator.core.models.default_models import StandardModels
from generator.core.runs.ports import Photo, PhotoLooks
from generator.core.scenes.domain.scene_planner import Wish, plan
from generator.edges.provider_access_errors import our_access
from rushes.generator.v1 import plan_pb2, plan_pb2_grpc
from servicekit.errors import FieldProblem, Invalid

DETERMINISTIC = "deterministic"
PLANNERS = ("", DETERMINISTIC, "llm")
"""Who may be asked to choose; whoever asks for a language model is told that this one chose instead."""


class PlanService(plan_pb2_grpc.PlanServiceServicer):
    """Plans without asking a language model; whichever planner is asked for, this one is there."""

    def __init__(self, looks: PhotoLooks, standard: StandardModels) -> None:
        self._looks = looks
        self._standard = standard

    @our_access()
    async def PlanScenes(
        self,
        request: plan_pb2.PlanScenesRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> plan_pb2.PlanScenesResponse:
        """Group, choose, order, and write a prompt for each scene."""
        if request.planner not in PLANNERS:
            message = f"{request.planner[:40]!r} is no planner: write deterministic or llm, or leave it out"
            raise Invalid(message, fields=[FieldProblem("planner", message)])
        photos = [_photo(each) for each in request.photos]
        looks = await self._looks.look(photos)
        wish = Wish(
            scene_count=request.scene_count,
            scene_seconds=request.scene_seconds,
            brief=request.brief,
            brand_guidelines=request.brand_guidelines,
            width=request.width or 1920,
            height=request.height or 1080,
        )
        model = request.model or await self._standard.scene()
        return plan_pb2.PlanScenesResponse(
            scenes=[
                plan_pb2.PlannedScene(
                    first_asset_id=scene.asset_id,
                    prompt=scene.prompt,
                    seconds=scene.seconds,
                    reason=scene.reason,
                    model=model,
                )
                for scene in plan(photos, looks, wish)
            ],
            planner=DETERMINISTIC,
            music_model=await self._standard.music(),
            pair_model=await self._standard.pair(),
        )


def _photo(photo: plan_pb2.Photo) -> Photo:
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
