"""Lists models with the names and parameters of public ones, so that listings are like real ones.

The sandbox's own renderers run them. Numbers of runs and prices are made up.
"""

from __future__ import annotations

from sandbox.core.models.domain.model import Collection, Model, Price, RendererKind
from sandbox.core.models.domain.parameters import (
    FILE,
    FILES,
    Parameter,
    choice,
    file,
    files,
    flag,
    number,
    openapi,
    seed,
    text,
    whole,
)

COLLECTIONS = (
    Collection("official", "Official models", "Always on, maintained, and predictably priced"),
    Collection("text-to-video", "Generate videos", "Models that make videos from a prompt"),
    Collection("image-to-video", "Animate images", "Models that turn pictures into videos"),
    Collection("text-to-image", "Generate images", "Models that make images from a prompt"),
    Collection("image-editing", "Edit images", "Models that change images"),
    Collection("music-generation", "Generate music", "Models that make music"),
    Collection("text-to-speech", "Generate speech", "Models that turn text into speech"),
    Collection("super-resolution", "Upscale images", "Models that enlarge images"),
)
_WIDE = ("16:9", "9:16")
_THREE = ("16:9", "9:16", "1:1")
_MANY = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9")

_VEO = [
    text(required=True),
    file("image"),
    file("last_frame"),
    files("reference_images"),
    choice("duration", (4, 6, 8), 8),
    choice("aspect_ratio", _WIDE, "16:9"),
    choice("resolution", ("720p", "1080p"), "720p"),
    flag("generate_audio", default=True),
    text("negative_prompt"),
    seed(),
]
_KLING = [
    text(required=True, longest=2500),
    text("negative_prompt", default=""),
    file("start_image"),
    file("end_image"),
    choice("duration", (5, 10), 5),
    choice("aspect_ratio", _THREE, "16:9"),
    choice("mode", ("standard", "pro"), "standard"),
    number("cfg_scale", 0, 1, 0.5),
]
_SEEDANCE = [
    text(required=True),
    file("image"),
    file("last_frame_image"),
    whole("duration", 2, 12, 5),
    choice("resolution", ("480p", "720p", "1080p"), "720p"),
    choice("aspect_ratio", _MANY, "16:9"),
    choice("fps", (24,), 24),
    flag("camera_fixed"),
    seed(),
]
_HAILUO = [
    text(required=True, longest=2000),
    file("first_frame_image"),
    file("last_frame_image"),
    choice("duration", (6, 10), 6),
    choice("resolution", ("768p", "1080p"), "768p"),
    flag("prompt_optimizer", default=True),
]
_WAN = [
    text(required=True),
    file("image", required=True),
    file("last_image"),
    whole("num_frames", 81, 121, 81),
    whole("frames_per_second", 5, 30, 16),
    choice("resolution", ("480p", "720p"), "480p"),
    flag("go_fast", default=True),
    seed(),
]
_WAN_TEXT = [
    text(required=True),
    whole("num_frames", 81, 121, 81),
    whole("frames_per_second", 5, 30, 16),
    choice("aspect_ratio", _WIDE, "16:9"),
    choice("resolution", ("480p", "720p"), "480p"),
    seed(),
]
_PIXVERSE = [
    text(required=True),
    file("image"),
    file("last_frame_image"),
    choice("quality", ("360p", "540p", "720p", "1080p"), "540p"),
    choice("duration", (5, 8), 5),
    choice("aspect_ratio", _THREE, "16:9"),
    text("negative_prompt", default=""),
    seed(),
]
_RAY = [
    text(required=True),
    file("start_image"),
    file("end_image"),
    choice("duration", (5, 9), 5),
    choice("aspect_ratio", _MANY, "16:9"),
    flag("loop"),
]
_FLUX = [
    text(required=True),
    choice("aspect_ratio", _MANY, "1:1"),
    whole("num_outputs", 1, 4, 1),
    choice("output_format", ("webp", "jpg", "png"), "webp"),
    whole("output_quality", 0, 100, 80),
    seed(),
]
_ONE_IMAGE = [
    text(required=True),
    file("image_prompt"),
    choice("aspect_ratio", _MANY, "1:1"),
    choice("output_format", ("jpg", "png"), "jpg"),
    seed(),
]
_MUSIC = [
    text(required=True),
    whole("duration", 1, 190, 8),
    choice("output_format", ("mp3", "wav"), "mp3"),
    seed(),
]
_SPEECH = [
    text("text", required=True, longest=10_000),
    number("speed", 0.5, 2, 1),
    text("voice_id", default="calm"),
]
_VIDEO = ("text-to-video", "image-to-video", "official")
_IMAGE = ("text-to-image", "official")
_TABLE: tuple[tuple[RendererKind, list[Parameter], tuple[str, ...], Price, str], ...] = (
    ("video", _VEO, _VIDEO, Price(second=150_000),
     "google/veo-3-fast google/veo-3 google/veo-3.1 google/veo-3.1-fast google/veo-2"),
    ("video", _KLING, _VIDEO, Price(second=50_000),
     "kwaivgi/kling-v2.5-turbo-pro kwaivgi/kling-v2.1 kwaivgi/kling-v2.1-master kwaivgi/kling-v1.6-pro"),
    ("video", _SEEDANCE, _VIDEO, Price(second=30_000),
     ("bytedance/seedance-1-pro bytedance/seedance-1-lite "
      "bytedance/seedance-1-pro-fast bytedance/seedance-2.5")),
    ("video", _HAILUO, _VIDEO, Price(second=45_000),
     "minimax/hailuo-02 minimax/hailuo-02-fast minimax/hailuo-2.3 minimax/video-01 minimax/video-01-live"),
    ("video", _PIXVERSE, _VIDEO, Price(second=40_000),
     "pixverse/pixverse-v5 pixverse/pixverse-v4.5 pixverse/pixverse-v4"),
    ("video", _RAY, _VIDEO, Price(second=60_000), "luma/ray luma/ray-2-720p luma/ray-flash-2-720p"),
    ("video", _WAN, ("image-to-video", "official"), Price(run=90_000),
     "wan-video/wan-2.2-i2v-fast wan-video/wan-2.1-i2v-480p wan-video/wan-2.5-i2v alibaba/wan-3"),
    ("video", _WAN_TEXT, ("text-to-video", "official"), Price(run=70_000),
     ("wan-video/wan-2.2-t2v-fast wan-video/wan-2.5-t2v tencent/hunyuan-video "
      "genmo/mochi-1 lightricks/ltx-video")),
    ("image", _FLUX, _IMAGE, Price(file=3_000),
     ("black-forest-labs/flux-schnell black-forest-labs/flux-dev "
      "black-forest-labs/flux-krea-dev qwen/qwen-image")),
    ("image", _ONE_IMAGE, _IMAGE, Price(file=40_000),
     ("black-forest-labs/flux-1.1-pro google/imagen-4 google/imagen-4-fast ideogram-ai/ideogram-v3-turbo "
      "recraft-ai/recraft-v3 stability-ai/stable-diffusion-3.5-large openai/gpt-image-2")),
    ("music", _MUSIC, ("music-generation", "official"), Price(run=20_000),
     "meta/musicgen google/lyria-2 minimax/music-1.5 stability-ai/stable-audio-2.5"),
    ("speech", _SPEECH, ("text-to-speech", "official"), Price(run=5_000),
     "minimax/speech-02-turbo minimax/speech-02-hd jaaari/kokoro-82m resemble-ai/chatterbox"),
)  # fmt: skip
_WORDS: dict[RendererKind, str] = {
    "video": "Makes videos",
    "image": "Makes images",
    "music": "Makes music",
    "speech": "Turns text into speech",
}


def public_models() -> list[Model]:
    made: list[Model] = []
    for kind, parameters, collections, price, names in _TABLE:
        many = parameters is _FLUX
        for rank, full_name in enumerate(names.split()):
            owner, name = full_name.split("/")
            made.append(
                Model(
                    owner,
                    name,
                    kind,
                    f"{_WORDS[kind]} with the parameters of {full_name}",
                    openapi(parameters, FILES if many else FILE),
                    form="list" if many else "one",
                    collections=collections,
                    price=price,
                    run_s=1.0,
                    run_count=2_000_000 // (1 + rank * 3) + sum(map(ord, full_name)),
                    created_at=f"2025-{1 + len(made) % 12:02d}-{1 + len(made) % 28:02d}T10:00:00.000000Z",
                )
            )
    return made
