"""The gateway's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.config import setting
from servicekit.shared_settings import BlobSettings, EventLogSettings, GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings, EventLogSettings, BlobSettings):
    """Read from the environment at start."""

    http_listen: str = setting(
        "HTTP_LISTEN", doc="Address of the REST server, host:port.", default="127.0.0.1:8000"
    )
    public_url: str = setting(
        "PUBLIC_URL",
        doc="Put before signed addresses, such as https://rushes.example; empty for paths.",
        default="",
    )
    signing_key: str = setting("SIGNING_KEY", doc="The secret behind signed addresses.", secret=True)
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
