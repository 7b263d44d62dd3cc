"""How the core's words are written in the contracts, for edges and adapters alike."""

from __future__ import annotations

from downloader.core.containers.domain import Kind, Stored
from rushes.common.v1.media_pb2 import (
    MEDIA_KIND_AUDIO,
    MEDIA_KIND_IMAGE,
    MEDIA_KIND_VIDEO,
    MediaFacts,
    MediaKind,
)

_KINDS = {Kind.VIDEO: MEDIA_KIND_VIDEO, Kind.IMAGE: MEDIA_KIND_IMAGE, Kind.AUDIO: MEDIA_KIND_AUDIO}
_FROM_WIRE = {number: kind for kind, number in _KINDS.items()}


def kind_from_wire(kind: MediaKind.ValueType) -> Kind | None:
    """The kind; None when nobody said, or said one that is newer than this service."""
    return _FROM_WIRE.get(kind)


def facts_to_wire(stored: Stored) -> MediaFacts:
    """What was measured on a stored file."""
    measured = stored.measured
    return MediaFacts(
        kind=_KINDS[measured.kind],
        content_type=stored.content_type,
        size_bytes=stored.size,
        sha256=stored.sha256,
        duration_s=measured.duration_s,
        width=measured.width,
        height=measured.height,
        fps=measured.fps,
        codecs=measured.codecs,
    )
