"""Registers each servicer with a server: by its contract, under its name."""

from __future__ import annotations

from generator.edges.models import ModelService
from generator.edges.scenes import PlanService
from generator.edges.webhooks import WebhookService
from rushes.generator.v1 import models_pb2_grpc, plan_pb2_grpc, webhooks_pb2_grpc
from servicekit.grpc.server import Service


def grpc_services(models: ModelService, plans: PlanService, webhooks: WebhookService) -> list[Service]:
    """The servicers as a server takes them."""
    return [
        (models_pb2_grpc.add_ModelServiceServicer_to_server, models, "rushes.generator.v1.ModelService"),
        (plan_pb2_grpc.add_PlanServiceServicer_to_server, plans, "rushes.generator.v1.PlanService"),
        (
            webhooks_pb2_grpc.add_WebhookServiceServicer_to_server,
            webhooks,
            "rushes.generator.v1.WebhookService",
        ),
    ]
