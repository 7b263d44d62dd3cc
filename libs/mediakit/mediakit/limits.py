"""How large pictures may be, for whom, and why."""

from __future__ import annotations

UPLOAD_PIXELS = 50_000_000
"""A picture that people upload. Phones make up to 50 megapixels; decoded it takes 150 MB."""

STORED_PIXELS = 100_000_000
"""A picture that a model made, and so any picture that is stored. More is a decompression bomb, or nothing
that a video can use; decoded it takes 300 MB."""

ANIMATION_PIXELS = 500_000_000
"""All frames of an animation together. A small file can hold thousands of large frames: decoding these takes
about five seconds."""

FILM_PIXELS = 8192 * 8192
"""One picture of a film: 8K and some more. Decoders keep several of them in memory."""

PICTURE_HEIGHT = 4096
"""Height of a thumbnail: that of a strip too, which WebP and JPEG cannot hold at any height."""
