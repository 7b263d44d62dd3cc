"""What a run made is what its model declares as files; else what has the form of one; else every address."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from generator_world import World
from hypothesis import given
from hypothesis import strategies as st

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.model_schema import read_output_schema
from generator.core.models.domain.prices import Price, PriceTable
from generator.core.models.model_catalog import Collection, Model, ModelCatalog
from generator.core.runs.domain.events import PredictionSucceeded
from generator.core.runs.domain.output_files import output_files
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.run_results import ModelRunResults
from servicekit.errors import Unavailable
from servicekit.testing import SimulatedClock

BASE = "http://127.0.0.1:9/out/r1"
CLIP, SOUND = f"{BASE}/clip.mp4", f"{BASE}/loop.m4a"
PICTURE, PAGE, DELIVERED = (
    f"{BASE}/frame.JPG?x=1",
    f"{BASE}/no-such-page",
    "https://pbxt.replicate.delivery/x/tmp1",
)
INLINE = "data:image/png;base64,AA=="
URI, TEXT = {"type": "string", "format": "uri"}, {"type": "string"}


def schema(output: Any, **components: Any) -> Any:
    return {"components": {"schemas": {"Output": output, **components}}}


def properties(**fields: Any) -> Any:
    return {"type": "object", "properties": fields}


@pytest.mark.parametrize(
    ("output", "files"),
    [
        ({"audio": SOUND, "spectrogram": PICTURE}, (SOUND, PICTURE)),
        ({"video": CLIP, "last_frame": PICTURE}, (CLIP, PICTURE)),
        ({"video": CLIP, "license": PAGE}, (CLIP,)),
        ([None, CLIP, "", None], (CLIP,)),
        ([CLIP, CLIP], (CLIP,)),
        ({"license": PAGE, "made": [{"deep": [DELIVERED]}]}, (DELIVERED,)),
        ({"image": INLINE, "model": "https://x.test/models/flux"}, (INLINE,)),
        (PAGE, (PAGE,)),  # nothing else: what was paid for is not lost because it has no ending
        ([PAGE, f"{PAGE}2"], (PAGE, f"{PAGE}2")),
        ("data: none", ()),
        ("http is a protocol", ()),
        ("https://", ()),
        (5, ()),
        (None, ()),
    ],
)
def test_without_a_schema_the_form_decides(output: Any, files: tuple[str, ...]) -> None:
    assert output_files(output, None) == files


@pytest.mark.parametrize(
    ("openapi", "output", "files"),
    [
        (schema(URI), PAGE, (PAGE,)),
        (schema({"type": "array", "items": URI}), [PAGE, CLIP], (PAGE, CLIP)),
        (schema(properties(video=URI, source=TEXT)), {"video": PAGE, "source": PICTURE}, (PAGE,)),
        (schema(properties(video=URI)), {"video": PAGE, "mask": PICTURE}, (PAGE, PICTURE)),
        (schema(properties(video=URI)), {"video": PAGE, "page": f"{PAGE}2"}, (PAGE,)),
        (
            schema({"$ref": "#/components/schemas/Made"}, Made=properties(a={"allOf": [URI]}, b=TEXT)),
            {"a": PAGE, "b": CLIP},
            (PAGE,),
        ),
        (schema({"anyOf": [URI, {"type": "null"}]}), PAGE, (PAGE,)),
        (schema({"anyOf": [TEXT, {"type": "array", "items": URI}]}), [PAGE], (PAGE,)),
        (schema(properties(video={"type": ["string", "null"], "format": "uri"})), {"video": PAGE}, (PAGE,)),
        (schema(TEXT), CLIP, (CLIP,)),  # declared as a text, and made all the same
        (schema(properties(a=TEXT, b=TEXT)), {"a": PAGE, "b": CLIP}, (CLIP,)),
        (schema({"type": "array", "items": TEXT}), ["see https://x.test/a.mp4", "b"], ()),
        (schema({}), {"video": CLIP, "license": PAGE}, (CLIP,)),
        ({}, CLIP, (CLIP,)),
        ("no schema", CLIP, (CLIP,)),
    ],
)
def test_the_schema_decides_where_it_is_explicit(openapi: Any, output: Any, files: tuple[str, ...]) -> None:
    assert output_files(output, read_output_schema(openapi)) == files


JSON = st.recursive(
    st.none()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from([CLIP, PAGE, PICTURE, INLINE, DELIVERED]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(
    JSON,
    st.one_of(JSON, st.sampled_from([URI, TEXT, {"type": "array", "items": URI}, {"anyOf": [URI, TEXT]}])),
)
def test_any_output_with_an_address_has_a_file_whatever_the_schema_is(output: Any, raw: Any) -> None:
    files = output_files(output, read_output_schema(schema(raw)))
    written = repr(output)
    assert all(repr(each) in written for each in files)
    assert len(set(files)) == len(files)
    assert bool(files) == any(each in written for each in (CLIP, PAGE, PICTURE, INLINE, DELIVERED))


class FakeModelSource:
    """A `ModelSource` with one model."""

    def __init__(self, openapi: Any) -> None:
        self.openapi = openapi
        self.away = False

    async def collections(self) -> list[Collection]:
        return []

    async def models_in(self, slug: str) -> list[Model]:
        return []

    async def model(self, owner: str, name: str) -> Model:
        if self.away:
            raise Unavailable("away")
        return Model(owner, name, version="new", openapi=self.openapi)

    async def version_schema(self, owner: str, name: str, version: str) -> Any:
        return schema(TEXT)


async def test_the_files_are_those_of_the_version_that_ran_and_are_what_is_paid_for() -> None:
    source = FakeModelSource(schema(properties(video=URI, source=TEXT)))
    prices = PriceTable({}, {}, Price("default", per_output=1000))
    results = ModelRunResults(ModelCatalog(source, SimulatedClock()), prices)
    made = Prediction("p", "succeeded", {"video": PAGE, "source": PICTURE})
    run = RunSpec("a/b", "new")
    assert await results.files(run, made) == (PAGE,)
    assert await results.cost(run, made) == 1000
    assert await results.files(replace(run, version="old"), made) == (PICTURE,)
    source.away = True
    away = ModelRunResults(ModelCatalog(source, SimulatedClock()), prices)
    assert await away.files(run, made) == (PICTURE,), "the form has to do"


async def test_what_is_no_file_is_not_published_as_one() -> None:
    world = World(reads=0)
    world.provider.ends = [Prediction("", "succeeded", {"license": PAGE, "video": CLIP})]
    await world.settle(world.attempts.add())
    (succeeded,) = world.published(PredictionSucceeded)
    assert (succeeded.addresses, succeeded.kind) == ((CLIP,), MediaKind.VIDEO)
