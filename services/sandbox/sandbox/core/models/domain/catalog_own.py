"""Lists the sandbox's own models, some of them with odd schemas that readers of schemas must survive."""

from __future__ import annotations

from sandbox.core.models.domain.model import Model, Price
from sandbox.core.models.domain.parameters import (
    FILE,
    FILES,
    choice,
    file,
    files,
    flag,
    number,
    openapi,
    raw,
    secret,
    seed,
    text,
    whole,
)

ASPECTS = ("16:9", "9:16", "1:1", "4:3")
MOVES = (
    "auto", "zoom-in", "zoom-out", "pan-left", "pan-right", "tilt-up", "tilt-down", "push-left", "push-right"
)  # fmt: skip
_CLIP = (
    whole("duration", 2, 10, 4, "Length of the clip in seconds"),
    choice("fps", (24, 25, 30), 25, "Frames per second"),
    choice("resolution", ("720p", "1080p"), "1080p"),
    choice("aspect_ratio", ASPECTS, "16:9"),
)
_OWNER = "rushes"
_VIDEO = Price(second=5_000)
OWN_MODELS = (
    Model(
        _OWNER, "camera-move", "video", "Turns a photo into a clip with a smooth camera move",
        openapi([
            file("image", "The photo to move over; any size and orientation", required=True),
            text(default="", note="What the clip should show", longest=4000),
            *_CLIP,
            choice("move", MOVES, "auto", "Camera move"),
            seed(),
        ], FILE),
        collections=("image-to-video", "official"), price=_VIDEO, run_count=912_000,
    ),
    Model(
        _OWNER, "first-last", "video", "A clip that moves from a first to a last picture",
        openapi([
            file("first_image", "The first frame", required=True),
            file("last_image", "The last frame", required=True),
            text(default="", longest=4000),
            *_CLIP,
            seed(),
        ], FILE),
        collections=("image-to-video", "official"), price=_VIDEO, run_count=431_000,
    ),
    Model(
        _OWNER, "title-card", "title", "A title card in motion from a line of text",
        openapi([
            text("text", "The line on the card", required=True, longest=200),
            text("subtitle", default="", longest=200),
            *_CLIP,
            choice("style", ("dark", "light", "warm"), "dark"),
            seed(),
        ], FILE),
        collections=("text-to-video", "official"), price=_VIDEO, run_count=222_000,
    ),
    Model(
        _OWNER, "instant", "instant", "A ready-made clip of one second", openapi([text(default="")], FILE),
        collections=("official",), price=Price(run=100), boot_s=0, run_s=0, run_count=5_000_000,
    ),
    Model(
        _OWNER, "still", "image", "Draws pictures from a prompt",
        openapi([
            text(required=True, longest=4000),
            whole("num_outputs", 1, 4, 1, "Number of pictures"),
            choice("aspect_ratio", ASPECTS, "16:9"),
            choice("output_format", ("jpg", "png", "webp"), "jpg"),
            seed(),
        ], FILES),
        form="list", collections=("text-to-image", "official"), price=Price(file=3_000), run_count=640_000,
    ),
    Model(
        _OWNER, "music-bed", "music", "Composes a musical bed: chords, bass and soft drums",
        openapi([
            text(default="warm and hopeful", longest=1000),
            whole("duration", 1, 120, 20, "Length in seconds"),
            choice("output_format", ("m4a", "mp3", "wav"), "m4a"),
            seed(),
        ], FILE),
        collections=("music-generation", "official"), price=Price(second=500), run_count=118_000,
    ),
    Model(
        _OWNER, "voice-over", "speech", "Speaks a text in a made-up voice",
        openapi([
            text("text", required=True, longest=5000), choice("voice", ("ada", "ben"), "ada"), seed(),
        ], FILE),
        collections=("text-to-speech", "official"), price=Price(run=2_000), run_count=77_000,
    ),
    Model(
        _OWNER, "bundle", "video", "A clip and its notes in one object",
        openapi([text(required=True), whole("duration", 2, 10, 2), seed()], {
            "type": "object",
            "properties": {"video": FILE, "notes": {"type": "string"}},
            "required": ["video"],
        }),
        form="object", collections=("text-to-video",), price=_VIDEO, run_count=900,
    ),
    Model(
        "studio-nord", "slow-pan", "video", "A community model: it runs by its version only",
        openapi([
            file("image", required=True), whole("duration", 2, 10, 2), number("strength", 0, 1, 0.5),
        ], FILE),
        official=False, collections=("image-to-video",), price=_VIDEO, run_count=4_100,
    ),
    Model(
        _OWNER, "every-form", "image", "Has a parameter in every form that a schema can take",
        openapi([
            text(required=True),
            raw("scale", {
                "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}], "title": "Scale",
            }),
            raw("style", {"type": "string", "enum": ["plain", "rich"], "default": "plain", "title": "Style"}),
            choice("steps", (4, 8, 16), 8),
            raw("mode", {"$ref": "#/components/schemas/output_format"}),
            choice("output_format", ("jpg", "png"), "jpg"),
            secret("api_key", "A key of the user's own"),
            files("reference_images", "Pictures to look at"),
            raw("zoom", {
                "anyOf": [{"type": "number", "minimum": 1}, {"type": "string", "enum": ["fit", "fill"]}],
            }),
            raw("layers", {"type": "array", "items": {"type": "string", "enum": ["sky", "lawn", "facade"]}}),
            raw("weights", {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}}),
            raw("size", {"type": "string", "pattern": r"^\d+x\d+$", "minLength": 3, "default": "640x360"}),
            raw("old_size", {"type": "integer", "deprecated": True, "nullable": True}),
            raw("mask", {"type": "string", "format": "uri", "x-cog-accept": "image/*", "nullable": True}),
            number("guidance", 0, 20, 3.5),
            flag("fast"),
            seed(),
        ], FILES),
        form="list", price=Price(file=1_000),
    ),
    Model(
        _OWNER, "no-schema", "image", "Publishes no schema", None, official=False, price=Price(run=1_000),
    ),
    Model(_OWNER, "no-version", "image", "Has no version yet", None, versioned=False, official=False),
)  # fmt: skip
