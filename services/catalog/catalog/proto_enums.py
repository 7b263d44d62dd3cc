"""The values that both sides of catalog speak, as records and messages: kinds, failures, measured files."""

from __future__ import annotations

from catalog.core.shared.values import Failure, FileFacts, Kind
from rushes.common.v1 import media_pb2

KINDS = {
    Kind.UNKNOWN: media_pb2.MEDIA_KIND_UNSPECIFIED,
    Kind.VIDEO: media_pb2.MEDIA_KIND_VIDEO,
    Kind.IMAGE: media_pb2.MEDIA_KIND_IMAGE,
    Kind.AUDIO: media_pb2.MEDIA_KIND_AUDIO,
}
KIND_OF = {message: kind for kind, message in KINDS.items()}


def failure_message(failure: Failure) -> media_pb2.Failure:
    """A failure as it is told."""
    return media_pb2.Failure(code=failure.code, message=failure.message, retryable=failure.retryable)


def facts_message(facts: FileFacts) -> media_pb2.MediaFacts:
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


def failure_of(message: media_pb2.Failure) -> Failure:
    """A failure as it was told, but for NUL characters: PostgreSQL keeps none, and the fact must count."""
    code, told = (text.replace("\0", "") for text in (message.code, message.message))
    return Failure(code or "unknown", told, message.retryable)


def facts_of(message: media_pb2.MediaFacts) -> FileFacts:
    """What was measured, as it was told."""
    return FileFacts(
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
