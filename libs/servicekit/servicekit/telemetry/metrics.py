"""Metrics that every service has, and their text for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

# When each series began would double their number, and nothing of ours reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds: an RPC takes milliseconds, an upload minutes.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

RPC_REQUESTS = Counter("rushes_rpc_requests", "gRPC calls answered, by outcome", ["method", "code"])
RPC_SECONDS = Histogram(
    "rushes_rpc_seconds", "How long gRPC calls took, to the last message", ["method"], buckets=_BUCKETS
)
HTTP_REQUESTS = Counter(
    "rushes_http_requests", "HTTP requests answered, by outcome", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "rushes_http_seconds",
    "How long HTTP requests took, to the last byte",
    ["method", "route"],
    buckets=_BUCKETS,
)


def text() -> bytes:
    """The body of `/metrics`; its content type is `CONTENT_TYPE`."""
    return generate_latest()
