"""The demo's photos: the program draws three houses in four pictures each, so that it needs nobody's own."""

from rushes_cli.photos.album import ROOMS, draw_photos
from rushes_cli.photos.houses import HOUSES

__all__ = ["HOUSES", "ROOMS", "draw_photos"]
