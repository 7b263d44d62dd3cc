"""Translates the core's words into those of the contracts, for edges and adapters alike."""

from __future__ import annotations

from downloader.core.fetching.domain.media import StoredFile
from mediakit.formats import Kind
from rushes.common.v1 import media_pb2 as pb

_TO_PROTO = {
    Kind.VIDEO: pb.MEDIA_KIND_VIDEO,
    Kind.IMAGE: pb.MEDIA_KIND_IMAGE,
    Kind.AUDIO: pb.MEDIA_KIND_AUDIO,
}
_FROM_PROTO = {number: kind for kind, number in _TO_PROTO.items()}


def kind_from_proto(kind: pb.MediaKind.ValueType) -> Kind | None:
    """None when it is unspecified, or newer than this service."""
    return _FROM_PROTO.get(kind)


def facts_to_proto(stored: StoredFile) -> pb.MediaFacts:
    facts = stored.facts
    return pb.MediaFacts(
        kind=_TO_PROTO[facts.kind],
        content_type=stored.content_type,
        size_bytes=stored.size,
        sha256=stored.sha256,
        duration_s=facts.duration_s,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        codecs=facts.codecs,
    )
