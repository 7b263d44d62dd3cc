"""Settings that several services have: the same name, meaning, and default in each of them."""

from __future__ import annotations

from dataclasses import dataclass

from servicekit.config import setting


@dataclass(frozen=True, kw_only=True)
class GrpcSettings:
    grpc_listen: str = setting(
        "GRPC_LISTEN",
        doc="Address of the gRPC server, host:port; port 0 takes a free one.",
        default="127.0.0.1:0",
    )


@dataclass(frozen=True, kw_only=True)
class EventLogSettings:
    nats_url: str = setting("NATS_URL", doc="The event log.", default="nats://127.0.0.1:4222")


@dataclass(frozen=True, kw_only=True)
class BlobSettings:
    blob_endpoint: str = setting("BLOB_ENDPOINT", doc="The S3 store, `http://host:port`.")
    blob_access_key: str = setting("BLOB_ACCESS_KEY", doc="Its access key.", secret=True)
    blob_secret_key: str = setting("BLOB_SECRET_KEY", doc="Its secret key.", secret=True)
    blob_bucket: str = setting("BLOB_BUCKET", doc="Its bucket.", default="rushes")
