"""Determines what finished runs made and cost: from the model's schema, the price table and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.prices import PriceTable, estimate
from generator.core.models.model_catalog import ModelCatalog
from generator.core.runs.domain.output_files import output_files
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.run_cost import run_cost
from servicekit.errors import AppError

T = TypeVar("T")


class ModelRunResults:
    """`RunResults` by the model catalog.

    Where a schema cannot be read, it is done without: the event must be published now.
    """

    def __init__(self, catalog: ModelCatalog, prices: PriceTable) -> None:
        self._catalog = catalog
        self._prices = prices

    async def files(self, run: RunSpec, prediction: Prediction) -> tuple[str, ...]:
        return output_files(prediction.output, await self._read(self._catalog.output_schema, run))

    async def cost(self, run: RunSpec, prediction: Prediction | None) -> int:
        price = self._prices.price_of(run.model, run.kind)
        parameters = await self._read(self._catalog.parameters, run)
        if prediction is None:
            return estimate(price, model=run.model, parameters=parameters, given=run.input).micros
        schema = await self._read(self._catalog.output_schema, run)
        return run_cost(price, prediction, parameters=parameters, given=run.input, output_schema=schema)

    async def _read(self, read: Callable[[str, str, str], Awaitable[T | None]], run: RunSpec) -> T | None:
        owner, _, name = run.model.partition("/")
        try:
            return await read(owner, name, run.version)
        except AppError:
            return None
