"""The values that both sides of catalog speak, as records and messages: kinds, errors, measured files."""

from __future__ import annotations

from catalog.core.shared.values import Error, Facts, MediaKind
from rushes.common.v1 import media_pb2

KINDS = {
    MediaKind.UNKNOWN: media_pb2.MEDIA_KIND_UNSPECIFIED,
    MediaKind.VIDEO: media_pb2.MEDIA_KIND_VIDEO,
    MediaKind.IMAGE: media_pb2.MEDIA_KIND_IMAGE,
    MediaKind.AUDIO: media_pb2.MEDIA_KIND_AUDIO,
}
KIND_OF = {message: kind for kind, message in KINDS.items()}


def error_message(error: Error) -> media_pb2.Failure:
    """A error as it is told."""
    return media_pb2.Failure(code=error.code, message=error.message, retryable=error.retryable)


def facts_message(facts: Facts) -> media_pb2.MediaFacts:
    """What was measured, as it is told."""
    return media_pb2.MediaFacts(
        kind=KINDS[facts.kind],
        content_type=facts.content_type,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        duration_s=facts.duration_s,
        width=facts.width,
        height=facts.height,
        fps=facts.fps,
        codecs=list(facts.codecs),
    )


def error_of(message: media_pb2.Failure) -> Error:
    """A error as it was told, but for NUL characters: PostgreSQL keeps none, and the fact must count."""
    code, told = (text.replace("\0", "") for text in (message.code, message.message))
    return Error(code or "unknown", told, message.retryable)


def facts_of(message: media_pb2.MediaFacts) -> Facts:
    """What was measured, as it was told."""
    return Facts(
        kind=KIND_OF[message.kind],
        content_type=message.content_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        duration_s=message.duration_s,
        width=message.width,
        height=message.height,
        fps=message.fps,
        codecs=tuple(message.codecs),
    )
