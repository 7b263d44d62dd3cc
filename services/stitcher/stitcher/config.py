"""Every setting of the stitcher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from servicekit.config import setting
from servicekit.shared_settings import BlobSettings, EventLogSettings, GrpcSettings


@dataclass(frozen=True, kw_only=True)
class Settings(GrpcSettings, EventLogSettings, BlobSettings):
    """Read from the environment once, at start."""

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
