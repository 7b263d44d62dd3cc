"""Every setting of the stitcher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.config import setting


@dataclass(frozen=True)
class Settings:
    """Read from the environment once, at start."""

    blob_endpoint: str = setting("BLOB_ENDPOINT", doc="The S3 store, `http://…`.")
    blob_access_key: str = setting("BLOB_ACCESS_KEY", doc="Its access key.", secret=True)
    blob_secret_key: str = setting("BLOB_SECRET_KEY", doc="Its secret key.", secret=True)
    grpc_listen: str = setting("GRPC_LISTEN", doc="Address of the gRPC server.", default="127.0.0.1:0")
    nats_url: str = setting("NATS_URL", doc="The event log.", default="nats://127.0.0.1:4222")
    blob_bucket: str = setting("BLOB_BUCKET", doc="Its bucket.", default="rushes")
    work_dir: Path = setting(
        "STITCHER_WORK_DIR",
        doc="Folder for work in hand; may be shared by replicas. Unset: the user's in the temporary one.",
        default=Path(),
    )
    cuts_at_once: int = setting(
        "STITCHER_CUTS_AT_ONCE", doc="Cuts that one replica makes at the same time.", default=1
    )
    preset: str = setting(
        "STITCHER_PRESET", doc="x264's preset: faster ones make larger files.", default="superfast"
    )
    crf: int = setting(
        "STITCHER_CRF", doc="x264's constant quality, 0 to 51: lower is better and larger.", default=18
    )
    ffmpeg: str = setting(
        "STITCHER_FFMPEG", doc="Path of FFmpeg. Unset: the one of imageio-ffmpeg.", default=""
    )
