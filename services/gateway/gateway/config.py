"""The gateway's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.config import setting


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Read from the environment at start."""

    http_listen: str = setting(
        "HTTP_LISTEN", doc="Address of the REST server, host:port.", default="127.0.0.1:8000"
    )
    grpc_listen: str = setting(
        "GRPC_LISTEN", doc="Address of health and reflection, host:port.", default="127.0.0.1:0"
    )
    public_url: str = setting(
        "PUBLIC_URL",
        doc="Put before signed addresses, such as https://rushes.example; empty for paths.",
        default="",
    )
    signing_key: str = setting("SIGNING_KEY", doc="The secret behind signed addresses.", secret=True)
    nats_url: str = setting("NATS_URL", doc="The event log.", default="nats://127.0.0.1:4222")
    blob_endpoint: str = setting("BLOB_ENDPOINT", doc="The S3 store, http://host:port.")
    blob_access_key: str = setting("BLOB_ACCESS_KEY", doc="Its access key.", secret=True)
    blob_secret_key: str = setting("BLOB_SECRET_KEY", doc="Its secret key.", secret=True)
    blob_bucket: str = setting("BLOB_BUCKET", doc="Its bucket.", default="rushes")
    catalog_address: str = setting("CATALOG_ADDRESS", doc="gRPC address of the catalog, host:port.")
    generator_address: str = setting("GENERATOR_ADDRESS", doc="gRPC address of the generator, host:port.")
    downloader_address: str = setting("DOWNLOADER_ADDRESS", doc="gRPC address of the downloader, host:port.")
    stitcher_address: str = setting("STITCHER_ADDRESS", doc="gRPC address of the stitcher, host:port.")
    serve_by_redirect: bool = setting(
        "SERVE_BY_REDIRECT",
        doc="Whether bytes are read from the object store itself, by redirect.",
        default=False,
    )
    upload_dir: Path = setting(
        "UPLOAD_DIR",
        doc="Folder for uploads while they are checked; may be shared by replicas. Unset: the user's in the "
        "temporary one.",
        default=Path(),
    )
