"""Plans are visits made of the best different photos; prices come from a table that people can edit."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from generator.adapters.scenes.photo_features import measure
from generator.core.models.domain.media_kinds import (
    MediaKind,
    kind_of_collections,
    kind_of_example,
)
from generator.core.models.domain.model_schema import Parameter, ParameterType
from generator.core.models.domain.prices import PriceFileError, estimate, load_prices
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.run_cost import run_cost
from generator.core.scenes.domain.photos import Photo, PhotoFeatures, label_photo
from generator.core.scenes.domain.scene_planner import ScenePlanRequest, plan_scenes
from generator.core.scenes.domain.scene_to_input import SceneInput, fit_scene, nearest_allowed
from mediakit.errors import MediaError
from servicekit.errors import Invalid

TABLE = load_prices((Path(__file__).parents[1] / "generator" / "prices.toml").read_text())
ROOMS = ("kitchen", "bedroom", "bathroom", "frontal")


def photo(name: str, number: int = 0, **values: object) -> Photo:
    return Photo(
        **(
            {"asset_id": f"ast_{name}_{number}", "name": f"{name}.jpg", "width": 1920, "height": 1080}
            | values
        )
    )  # type: ignore[arg-type]


def features(sharpness: float = 300.0, fingerprint: int = 0) -> PhotoFeatures:
    return PhotoFeatures(sharpness, 0.8, 0.8, fingerprint)


@pytest.mark.parametrize(
    ("name", "tags", "group", "place"),
    [
        ("house042_kitchen.jpg", (), "kitchen", "house 042"),
        ("house042_frontal.jpg", (), "exterior", "house 042"),
        ("IMG_2041.jpg", ("Bedroom",), "bedroom", ""),
        ("villa-7 living room.png", (), "living room", "villa 7"),
        ("DSC0001.JPG", (), "photo", ""),
        ("house.jpg", (), "exterior", ""),
        ("house3_winecellar.jpg", (), "winecellar", "house 3"),
        ("Kitchen2.jpg", (), "kitchen", ""),
        ("x.jpg", ("rooftop bar",), "rooftop bar", ""),
        ("BedRoom_1.png", (), "bedroom", ""),
    ],
)
def test_what_a_photo_shows_and_where(name: str, tags: tuple[str, ...], group: str, place: str) -> None:
    label = label_photo(Photo("ast_1", name=name, tags=tags))
    assert (label.group, label.place) == (group, place)


def test_eighty_four_photos_become_a_visit_to_one_house() -> None:
    photos = [photo(f"house{n:03}_{room}") for n in range(21) for room in ROOMS]
    measured = {
        each.asset_id: features(100 + 10 * (n // 4), fingerprint=(n * 0x9E3779B97F4A7C15) % 2**64)
        for n, each in enumerate(photos)
    }
    scenes = plan_scenes(photos, measured, ScenePlanRequest(4, 4.0))
    names = [scene.asset_id.removeprefix("ast_") for scene in scenes]
    assert len({name.split("_")[0] for name in names}) == 1
    assert [name.split("_")[1] for name in names] == ["frontal", "kitchen", "bedroom", "bathroom"]
    named = plan_scenes(photos, measured, ScenePlanRequest(4, 4.0, brief="Sell House 007 now"))
    assert {scene.asset_id.split("_")[1] for scene in named} == {"house007"}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*ROOMS, "pool", "thing", ""]),
            st.integers(0, 3),
            st.tuples(st.integers(0, 5000), st.integers(0, 5000)),
            st.none() | st.tuples(st.floats(0, 5000), st.integers(0, 2**64 - 1)),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 20),
)
def test_any_photos_make_exactly_the_wanted_scenes(raw: list, count: int) -> None:  # type: ignore[type-arg]
    photos = [
        Photo(f"ast_{n}", name=f"house{house}_{room}.jpg", width=size[0], height=size[1], sha256=str(n))
        for n, (room, house, size, _) in enumerate(raw)
    ]
    measured = {f"ast_{n}": features(*seen) for n, (_, _, _, seen) in enumerate(raw) if seen is not None}
    scenes = plan_scenes(
        photos, measured, ScenePlanRequest(count, 3.5, brief="a brief", brand_guidelines="warm")
    )
    assert len(scenes) == count
    assert {scene.asset_id for scene in scenes} <= {each.asset_id for each in photos}
    readable = len(measured) or len(photos)
    assert len({scene.asset_id for scene in scenes}) == min(
        count, readable
    )  # reused only when there are too few
    assert all(scene.prompt and scene.reason and scene.seconds == 3.5 for scene in scenes)
    assert (
        plan_scenes(photos, measured, ScenePlanRequest(count, 3.5, brief="a brief", brand_guidelines="warm"))
        == scenes
    )


def test_different_groups_come_before_better_copies() -> None:
    photos = [photo("kitchen", n) for n in range(5)] + [photo("bathroom", 9)]
    measured = {
        each.asset_id: features(3000 if "kitchen" in each.asset_id else 20, n * 0xFFFF)
        for n, each in enumerate(photos)
    }
    scenes = plan_scenes(photos, measured, ScenePlanRequest(2, 4.0))
    assert {scene.asset_id.split("_")[1] for scene in scenes} == {"kitchen", "bathroom"}


def test_near_duplicates_are_left_out_while_there_are_others() -> None:
    photos = [photo("kitchen", n) for n in range(3)]
    measured = {
        "ast_kitchen_0": features(900, 0),
        "ast_kitchen_1": features(800, 1),
        "ast_kitchen_2": features(100, 2**64 - 1),
    }
    scenes = plan_scenes(photos, measured, ScenePlanRequest(2, 4.0))
    assert {scene.asset_id for scene in scenes} == {"ast_kitchen_0", "ast_kitchen_2"}
    assert len(plan_scenes(photos, measured, ScenePlanRequest(3, 4.0))) == 3


def test_one_photo_makes_different_moves() -> None:
    scenes = plan_scenes([photo("kitchen")], {}, ScenePlanRequest(4, 4.0))
    assert len({scene.prompt for scene in scenes}) == 4
    assert "again" in scenes[1].reason


def _jpeg(image: Image.Image, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", **options)
    return data.getvalue()


def test_features_distinguish_sharp_from_blurred_and_light_from_dark() -> None:
    sharp = Image.new("RGB", (1200, 800), "white")
    draw = ImageDraw.Draw(sharp)
    for x in range(0, 1200, 40):
        draw.rectangle((x, (x * 7) % 600, x + 20, (x * 7) % 600 + 180), fill=(x % 255, 90, 160))
    blurred = sharp.filter(ImageFilter.GaussianBlur(12))
    assert measure(_jpeg(sharp)).sharpness > 5 * measure(_jpeg(blurred)).sharpness
    assert measure(_jpeg(Image.new("RGB", (300, 200), "black"))).exposure < 0.1
    near = (
        measure(_jpeg(sharp)).fingerprint ^ measure(_jpeg(sharp.resize((600, 400)), quality=60)).fingerprint
    )
    assert near.bit_count() <= 8
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")
    far = measure(_jpeg(ramp)).fingerprint ^ measure(_jpeg(ramp.rotate(180))).fingerprint
    assert far.bit_count() > 8


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2), (3000, 4000)])
def test_photos_of_odd_sizes_are_measured(size: tuple[int, int]) -> None:
    assert measure(_jpeg(Image.new("RGB", size, "grey"))).sharpness >= 0


@pytest.mark.parametrize("data", [b"", b"text", b"\xff\xd8\xff\xe0 truncated"])
def test_what_is_no_photo_cannot_be_measured(data: bytes) -> None:
    with pytest.raises(MediaError):
        measure(data)


def number(name: str, **values: object) -> Parameter:
    return Parameter(name, **({"type": ParameterType.INTEGER} | values))  # type: ignore[arg-type]


FILE = ParameterType.FILE
PROMPT = Parameter("prompt", ParameterType.STRING)
SCENE = SceneInput("p", "asset:a", "", 5.0, 1920, 1080)


@pytest.mark.parametrize(
    ("parameters", "fitted"),
    [
        (
            [
                PROMPT,
                Parameter("image", FILE),
                Parameter("last_frame", FILE),
                number("duration", enum=(4, 6, 8)),
            ],
            {"image": "asset:a", "duration": 6},
        ),
        (
            [PROMPT, Parameter("start_image", FILE), number("duration", enum=(5, 10))],
            {"start_image": "asset:a", "duration": 5},
        ),
        (
            [
                PROMPT,
                Parameter("first_frame_image", FILE),
                Parameter("duration", ParameterType.STRING, enum=("5s", "9s")),
            ],
            {"first_frame_image": "asset:a", "duration": "5s"},
        ),
        (
            [
                PROMPT,
                Parameter("image", FILE),
                number("num_frames", minimum=81, maximum=121),
                number("frames_per_second", default=16),
            ],
            {"image": "asset:a", "num_frames": 81},
        ),
        (
            [PROMPT, Parameter("picture_in", FILE, required=True), number("seconds", maximum=3)],
            {"picture_in": "asset:a", "seconds": 3},
        ),
        (
            [PROMPT, Parameter("images", ParameterType.ARRAY, items=Parameter("", FILE))],
            {"images": ["asset:a"]},
        ),
        (
            [
                PROMPT,
                Parameter("image", FILE),
                Parameter("resolution", ParameterType.STRING, enum=("480p", "720p")),
                Parameter("aspect_ratio", ParameterType.STRING, enum=("1:1", "16:9", "9:16")),
            ],
            {"image": "asset:a", "resolution": "720p", "aspect_ratio": "16:9"},
        ),
        (
            [
                PROMPT,
                Parameter("image", FILE),
                Parameter("resolution", ParameterType.STRING, enum=("720p", "1080p", "4k")),
            ],
            {"image": "asset:a", "resolution": "1080p"},
        ),
        (
            [
                PROMPT,
                Parameter("first_image", FILE, required=True),
                Parameter("last_image", FILE, required=True),
            ],
            {"first_image": "asset:a", "last_image": "asset:a"},
        ),
    ],
)
def test_a_scene_fits_models_by_meaning(parameters: list[Parameter], fitted: dict[str, object]) -> None:
    assert fit_scene("a/b", parameters, SCENE) == {"prompt": "p"} | fitted


def test_a_scene_that_does_not_fit_is_refused_with_the_way_out() -> None:
    with pytest.raises(Invalid, match="image-to-video"):
        fit_scene("a/b", [PROMPT], SCENE)
    pair = SceneInput("p", "asset:a", "asset:b", 5.0)
    with pytest.raises(Invalid, match="no last picture"):
        fit_scene("a/b", [PROMPT, Parameter("image", FILE)], pair)
    both = [PROMPT, Parameter("image", FILE), Parameter("last_frame", FILE)]
    assert fit_scene("a/b", both, pair)["last_frame"] == "asset:b"
    with pytest.raises(Invalid, match="no schema"):
        fit_scene("a/b", None, SCENE)


@given(st.floats(0.1, 1000), st.integers(-1, 50), st.integers(51, 500))
def test_the_nearest_value_is_always_allowed(wanted: float, low: int, high: int) -> None:
    value = nearest_allowed(number("n", minimum=low, maximum=high), wanted)
    assert low <= value <= high


def test_estimates_and_costs() -> None:
    veo = TABLE.price_of("google/veo-3-fast", MediaKind.VIDEO)
    duration = [number("duration", enum=(4, 6, 8), default=8)]
    assert estimate(veo, model="google/veo-3-fast", parameters=duration, given={}).micros == 1_200_000
    guess = estimate(veo, model="google/veo-3-fast", parameters=duration, given={"duration": 4})
    assert guess.micros == 600_000
    assert "4 s" in guess.basis
    unknown = estimate(TABLE.price_of("a/b", MediaKind.IMAGE), model="a/b", parameters=None, given={})
    assert "default" in unknown.basis
    assert TABLE.price_of("a/b", MediaKind.UNKNOWN).per_run == 50_000
    ran = Prediction(
        "p", "succeeded", "https://x/a", metrics={"video_output_duration_seconds": 5, "predict_time": 9}
    )
    assert run_cost(veo, ran) == 750_000
    assert run_cost(veo, Prediction("p", "aborted")) == 0
    assert run_cost(veo, Prediction("p", "failed", metrics={"predict_time": 3})) == 0
    flux = TABLE.price_of("black-forest-labs/flux-schnell", MediaKind.IMAGE)
    assert run_cost(flux, Prediction("p", "succeeded", ["https://x/a", "https://x/b"])) == 6_000
    assert (
        run_cost(flux, Prediction("p", "succeeded", "https://x/a", metrics={"image_output_count": 4}))
        == 12_000
    )
    music = TABLE.price_of("meta/musicgen", MediaKind.AUDIO)
    assert run_cost(music, Prediction("p", "failed", metrics={"predict_time": 10.0})) == 14_000
    assert TABLE.price_of("google/veo-3-fast", MediaKind.VIDEO).hint == "$0.15 per second of output"


@pytest.mark.parametrize(
    "text",
    [
        "x = ",
        "",
        "[default]\nper_run = -1",
        "[default]\nper_run = nan",
        "[default]\nper_day = 1",
        "[default]\nper_run = 'x'",
        "default = 5",
        "models = 3\n[default]\nper_run = 1",
    ],
)
def test_wrong_price_files_are_reported(text: str) -> None:
    with pytest.raises(PriceFileError):
        load_prices(text)


def test_kinds() -> None:
    assert kind_of_example(["https://x/out-0.webp"]) is MediaKind.IMAGE
    assert kind_of_example({"v": "https://x/tmp.mp4?x=1"}) is MediaKind.VIDEO
    assert kind_of_example(None) is MediaKind.UNKNOWN
    assert kind_of_collections(["official", "text-to-video"]) is MediaKind.VIDEO
