"""Converts the values that edges and adapters both meet in messages: kinds, times, errors, measured files."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from catalog.core.shared.domain import Error, Facts, MediaKind
from rushes.common.v1 import media_pb2

PROTO_KINDS = {
    MediaKind.UNKNOWN: media_pb2.MEDIA_KIND_UNSPECIFIED,
    MediaKind.VIDEO: media_pb2.MEDIA_KIND_VIDEO,
    MediaKind.IMAGE: media_pb2.MEDIA_KIND_IMAGE,
    MediaKind.AUDIO: media_pb2.MEDIA_KIND_AUDIO,
}
KIND_FROM_PROTO = {proto: kind for kind, proto in PROTO_KINDS.items()}


def timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at)
    return message


def datetime_of(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def error_to_proto(error: Error) -> media_pb2.Error:
    return media_pb2.Error(code=error.code, message=error.message, retryable=error.retryable)


def plain_text(text: str) -> str:
    """A text of an event without NUL characters: none can be stored, and the event must be applied."""
    return text.replace("\0", "")


def error_from_proto(message: media_pb2.Error) -> Error:
    return Error(plain_text(message.code) or "unknown", plain_text(message.message), message.retryable)


def facts_to_proto(facts: Facts) -> media_pb2.MediaFacts:
    """Each fact has the same name there."""
    return media_pb2.MediaFacts(**{**vars(facts), "kind": PROTO_KINDS[facts.kind]})


def facts_from_proto(message: media_pb2.MediaFacts) -> Facts:
    return Facts(
        kind=KIND_FROM_PROTO[message.kind],
        content_type=plain_text(message.content_type),
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        duration_s=message.duration_s,
        width=message.width,
        height=message.height,
        fps=message.fps,
        codecs=tuple(map(plain_text, message.codecs)),
    )
