"""What a model makes is answered from what the provider publishes, never from what happens to be cached."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from generator.adapters.models.replicate_models import ReplicateModels
from generator.adapters.replicate_client import ReplicateClient
from generator.core.inputs.prepare_input import prepare_input
from generator.core.models.domain.media_kinds import MediaKind
from generator.core.models.domain.prices import Price, PriceTable
from generator.core.models.model_catalog import Collection, Model, ModelCatalog
from generator.edges.models import ModelService
from rushes.common.v1 import media_pb2
from rushes.generator.v1 import models_pb2
from servicekit.clock import SystemClock
from servicekit.errors import AppError, Unavailable
from servicekit.testing import SimulatedClock

CONTEXT: Any = None
"""No servicer uses it."""

PRICES = PriceTable(
    {},
    {"video": Price("video", per_second=100_000), "image": Price("image", per_output=40_000)},
    Price("default", per_run=50_000),
)
MODELS = (
    Model("a", "pair", "A clip that moves from a first to a last picture", version="v"),
    Model("a", "words", "Makes a picture from a film", version="v"),
    Model("a", "example", "Makes a picture", version="v", example="https://x.test/out.mp4"),
    Model("a", "both", "Both", version="v"),
)
COLLECTIONS = {
    "text-to-image": ("both",),
    "official": ("pair", "words"),
    "image-to-video": ("pair", "example", "both"),
    "of-another-kind": ("words",),
}


class FakeModelSource:
    """A `ModelSource` over `MODELS` and `COLLECTIONS`; `errors` by slug."""

    def __init__(self) -> None:
        self.errors: dict[str, AppError] = {}

    async def collections(self) -> list[Collection]:
        return [Collection(slug, slug, "") for slug in COLLECTIONS]

    async def models_in(self, slug: str) -> list[Model]:
        if error := self.errors.get(slug):
            raise error
        return [await self.model("a", name) for name in COLLECTIONS[slug]]

    async def model(self, owner: str, name: str) -> Model:
        return next(each for each in MODELS if each.name == name)

    async def version_schema(self, owner: str, name: str, version: str) -> Any:
        return None


def new_catalog(source: FakeModelSource | None = None) -> ModelCatalog:
    return ModelCatalog(source or FakeModelSource(), SimulatedClock())


async def prepared(catalog: ModelCatalog, name: str) -> tuple[MediaKind, int]:
    priced = await prepare_input(catalog, PRICES, f"a/{name}", "", {})
    return priced.spec.kind, priced.estimate.micros


async def shown(catalog: ModelCatalog, name: str) -> models_pb2.Model:
    service = ModelService(catalog, PRICES, provider="replicate", deadline=60.0)
    return await service.GetModel(models_pb2.GetModelRequest(owner="a", name=name), CONTEXT)


async def listed(catalog: ModelCatalog, collection: str) -> list[Any]:
    return [
        (each.model.name, each.collections, each.kind) for each in (await catalog.models(collection)).value
    ]


ANSWERS: list[Callable[[ModelCatalog], Awaitable[Any]]] = [
    *(lambda catalog, name=model.name: prepared(catalog, name) for model in MODELS),
    *(lambda catalog, name=model.name: shown(catalog, name) for model in MODELS),
    *(lambda catalog, slug=slug: listed(catalog, slug) for slug in ("", *COLLECTIONS)),
]


async def test_no_answer_depends_on_what_was_read_before() -> None:
    fresh = [await answer(new_catalog()) for answer in ANSWERS]
    for first, (place, second) in itertools.product(ANSWERS, enumerate(ANSWERS)):
        catalog = new_catalog()
        await first(catalog)
        assert await second(catalog) == fresh[place]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pair", MediaKind.VIDEO),
        ("example", MediaKind.VIDEO),
        ("both", MediaKind.VIDEO),
        ("words", MediaKind.UNKNOWN),  # what is only said in words refuses nothing
    ],
)
async def test_a_model_makes_what_its_example_or_its_collections_show(name: str, kind: MediaKind) -> None:
    micros = 50_000 if kind is MediaKind.UNKNOWN else 500_000
    assert await prepared(new_catalog(), name) == (kind, micros)


async def test_a_kind_that_cannot_be_read_is_no_guess() -> None:
    source = FakeModelSource()
    source.errors["image-to-video"] = Unavailable("away")
    for name in ("pair", "both", "words"):  # the collection might hold each of them
        with pytest.raises(Unavailable):
            await prepared(new_catalog(source), name)
        assert (await shown(new_catalog(source), name)).kind == media_pb2.MEDIA_KIND_UNSPECIFIED
    assert await prepared(new_catalog(source), "example") == (MediaKind.VIDEO, 500_000)
    assert (await new_catalog(source).models("text-to-image")).stale
    source.errors = {"text-to-image": Unavailable("away")}
    assert (await prepared(new_catalog(source), "pair"))[0] is MediaKind.VIDEO, "no other could overrule it"


async def test_the_models_of_the_sandbox_make_what_they_make_at_the_first_request(
    client: ReplicateClient,
) -> None:
    images = {"first_image": "https://x.test/a.png", "last_image": "https://x.test/b.png"}
    catalog = ModelCatalog(ReplicateModels(client), SystemClock())
    priced = await prepare_input(catalog, PRICES, "rushes/first-last", "", images)
    assert priced.spec.kind is MediaKind.VIDEO
