"""The values that both sides of the generator speak, as records and messages: what a run makes."""

from __future__ import annotations

from generator.core.models.domain.media_kinds import Kind
from rushes.common.v1 import media_pb2

KINDS = {
    Kind.VIDEO: media_pb2.MEDIA_KIND_VIDEO,
    Kind.IMAGE: media_pb2.MEDIA_KIND_IMAGE,
    Kind.AUDIO: media_pb2.MEDIA_KIND_AUDIO,
    Kind.UNKNOWN: media_pb2.MEDIA_KIND_UNSPECIFIED,
}
KIND_OF = {message: kind for kind, message in KINDS.items()}
