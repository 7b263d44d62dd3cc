"""Opens pictures, fits them to a canvas, and samples frames from them as the three planes of yuv420p.

The video's own planes have half the pixels of RGB, and no frame needs a colour conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from mediakit.errors import MediaError
from mediakit.pictures import open_small
from sandbox.core.predictions.ports import RenderError

Box = tuple[float, float, float, float]
_FILL_BELOW = 0.62  # a photo that would lose more than 38 % to cropping is shown whole over its blurred self


def open_picture(path: Path, *, near: tuple[int, int]) -> Image.Image:
    """The picture upright and in RGB. A large JPEG is decoded at a fraction of its size, not below `near`.

    Raises:
        RenderError: not a picture, cut short, or too large.
    """
    try:
        return _without_alpha(open_small(path, near=max(near), formats=None))
    except MediaError as error:
        raise RenderError(f"Picture cannot be decoded: {error.message}") from error


def _without_alpha(picture: Image.Image) -> Image.Image:
    """In RGB; what is transparent becomes white."""
    if picture.mode not in ("RGBA", "LA", "P", "PA"):
        return picture.convert("RGB")
    alpha = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", alpha.size, (255, 255, 255, 255)), alpha).convert("RGB")


def fit(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Fill the size: by cropping when little is lost, else with the whole picture over its blurred self."""
    ratio = (picture.width / picture.height) / (size[0] / size[1])
    if min(ratio, 1 / ratio) >= _FILL_BELOW:
        return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    small = ImageOps.fit(picture, (size[0] // 16, size[1] // 16), Image.Resampling.BOX)
    ground = small.filter(ImageFilter.GaussianBlur(4)).resize(size, Image.Resampling.BICUBIC)
    ground = ground.point(lambda value: int(value * 0.6))
    whole = ImageOps.contain(picture, size, Image.Resampling.LANCZOS)
    ground.paste(whole, ((size[0] - whole.width) // 2, (size[1] - whole.height) // 2))
    return ground


@dataclass(frozen=True)
class Planes:
    """One picture in bt709, limited range. U and V have half the size of Y."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        return self.y.size

    def sample(self, box: Box, size: tuple[int, int]) -> Planes:
        """The part inside `box` (in luma samples, fractions too), scaled to `size`."""
        half = (box[0] / 2, box[1] / 2, box[2] / 2, box[3] / 2)
        small = (size[0] // 2, size[1] // 2)
        cubic = Image.Resampling.BICUBIC
        return Planes(
            self.y.resize(size, cubic, box=box),
            self.u.resize(small, cubic, box=half),
            self.v.resize(small, cubic, box=half),
        )

    def blend(self, other: Planes, share: float) -> Planes:
        """A mix with another picture of the same size: `share` 0 is this one, 1 the other."""
        return Planes(
            Image.blend(self.y, other.y, share),
            Image.blend(self.u, other.u, share),
            Image.blend(self.v, other.v, share),
        )

    def frame(self) -> av.VideoFrame:
        frame = av.VideoFrame(self.size[0], self.size[1], "yuv420p")
        for plane, image in zip(frame.planes, (self.y, self.u, self.v), strict=True):
            _fill(plane, image)
        return frame


def to_planes(picture: Image.Image) -> Planes:
    """From RGB. The picture's sides must be even."""
    frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709", src_color_range="JPEG", dst_color_range="MPEG"
    )
    return Planes(*(_image(plane) for plane in frame.planes))


def _image(plane: av.video.plane.VideoPlane) -> Image.Image:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return Image.fromarray(np.ascontiguousarray(rows[:, : plane.width]))


def _fill(plane: av.video.plane.VideoPlane, image: Image.Image) -> None:
    if plane.line_size == plane.width:
        plane.update(image.tobytes())
        return
    rows = np.zeros((plane.height, plane.line_size), np.uint8)
    rows[:, : plane.width] = np.asarray(image)
    plane.update(rows.tobytes())
