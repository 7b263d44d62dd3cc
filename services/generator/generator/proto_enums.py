"""Maps values that both edges and adapters translate to the contracts' enums."""

from __future__ import annotations

from generator.core.models.domain.media_kinds import MediaKind
from rushes.common.v1 import media_pb2

MEDIA_KINDS = {
    MediaKind.VIDEO: media_pb2.MEDIA_KIND_VIDEO,
    MediaKind.IMAGE: media_pb2.MEDIA_KIND_IMAGE,
    MediaKind.AUDIO: media_pb2.MEDIA_KIND_AUDIO,
    MediaKind.UNKNOWN: media_pb2.MEDIA_KIND_UNSPECIFIED,
}
MEDIA_KIND_OF = {message: kind for kind, message in MEDIA_KINDS.items()}
