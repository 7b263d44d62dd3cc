"""Settings that several services have: the same name, meaning, and default in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from servicekit.config import setting


class LogStyle(StrEnum):
    BY_TERMINAL = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """What `servicekit.process.main` reads for every service."""

    log_style: LogStyle = setting(
        "RUSHES_LOG",
        doc="Form of the log; auto: text on a terminal, a JSON object a line elsewhere.",
        default=LogStyle.BY_TERMINAL,
    )
    log_level: LogLevel = setting("RUSHES_LOG_LEVEL", doc="The least that is logged.", default=LogLevel.INFO)
    metrics_listen: str = setting(
        "METRICS_LISTEN",
        doc="Address of the HTTP server of `/metrics`, `/healthz` and `/readyz`, host:port; empty: none.",
        default="",
    )
    otlp_endpoint: str = setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        doc="Collector that traces are sent to, OTLP over HTTP, `http://host:4318`; empty: none.",
        default="",
    )
    trace_file: Path = setting(
        "RUSHES_TRACE_FILE", doc="File that traces are appended to, a JSON object a line.", default=Path()
    )


@dataclass(frozen=True, kw_only=True)
class GrpcSettings(ProcessSettings):
    grpc_listen: str = setting(
        "GRPC_LISTEN",
        doc="Address of the gRPC server, host:port; port 0 takes a free one.",
        default="127.0.0.1:0",
    )


@dataclass(frozen=True, kw_only=True)
class EventLogSettings:
    nats_url: str = setting(
        "NATS_URL",
        doc="The event log; of a cluster, the addresses of its servers with commas between them.",
        default="nats://127.0.0.1:4222",
    )
    event_log_replicas: int = setting(
        "EVENT_LOG_REPLICAS",
        doc="Servers that store each event and each shared value: 3 in a cluster of NATS servers.",
        default=1,
        choices=(1, 3, 5),
    )


@dataclass(frozen=True, kw_only=True)
class BlobSettings:
    blob_endpoint: str = setting("BLOB_ENDPOINT", doc="The S3 store, `http://host:port`.")
    blob_access_key: str = setting("BLOB_ACCESS_KEY", doc="Its access key.", secret=True)
    blob_secret_key: str = setting("BLOB_SECRET_KEY", doc="Its secret key.", secret=True)
    blob_bucket: str = setting("BLOB_BUCKET", doc="Its bucket.", default="rushes")
    blob_region: str = setting(
        "BLOB_REGION", doc="Its region; many stores have none and take any.", default="us-east-1"
    )
