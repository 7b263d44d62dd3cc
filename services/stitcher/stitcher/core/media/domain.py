"""What can be measured on a media file: the probe fills it in, the plan and the quality gate read it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class VideoFacts:
    """A file's moving picture. `width` and `height` are stored pixels; `rotation` turns them for display."""

    codec: str
    width: int
    height: int
    pixel_format: str
    rate: Fraction
    """Average frames per second."""
    frames: int
    """Packets found: one a frame."""
    constant_rate: bool
    """Every frame lasts equally long, by the packets' own times."""
    starts_with_key: bool
    start: Fraction
    """Seconds at which the first frame is shown."""
    time_base: Fraction
    sar: Fraction = Fraction(1)
    """Shape of a stored pixel, width by height."""
    rotation: int = 0
    """Clockwise turn for display: 0, 90, 180 or 270 degrees."""
    matrix: str = ""
    """Colour matrix as tagged: "bt709", "smpte170m", …; empty when the file does not say."""
    codec_header: bytes = b""
    """The decoder's set-up (for H.264 its parameter sets)."""
    sampled_frames: tuple[bytes, ...] = ()
    """Some frames over the whole length, each as 16x9 bytes of luminance, 0 to 255."""

    @property
    def duration(self) -> Fraction:
        """Seconds, from frames and rate."""
        return self.frames / self.rate if self.rate else Fraction(0)

    @property
    def display_size(self) -> tuple[Fraction, Fraction]:
        """Width and height as displayed: square pixels, turned upright."""
        wide, high = self.width * self.sar, Fraction(self.height)
        return (high, wide) if self.rotation in (90, 270) else (wide, high)


@dataclass(frozen=True)
class AudioFacts:
    """A file's sound. The peak is a fraction of full scale, 0 to 1, and 0 when it was not measured."""

    codec: str
    rate: int
    channels: int
    duration: float
    """Seconds."""
    peak: float = 0.0


@dataclass(frozen=True)
class FileFacts:
    """A whole file."""

    container: str
    """FFmpeg's name of the format: "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", …"""
    size: int
    """Bytes."""
    duration: float
    """Seconds, as the container says."""
    faststart: bool
    """An MP4 whose index (`moov`) stands before its data (`mdat`)."""
    video: VideoFacts | None
    audio: AudioFacts | None
    """None also for a track that holds nothing."""
    sha256: str = ""
    """Of the bytes, in lower-case hexadecimal; empty when it was not computed."""
    audio_tracks: int = 0
