"""Prices finished runs: from the price table, the provider's metrics, and the model's schema."""

from __future__ import annotations

from generator.core.inputs.domain.run_spec import RunSpec
from generator.core.models.domain.prices import PriceTable, estimate
from generator.core.models.model_catalog import ModelCatalog
from generator.core.runs.domain.prediction import Prediction
from generator.core.runs.domain.run_cost import run_cost
from servicekit.errors import AppError


class PriceTableCosts:
    """`RunCosts` from the price table."""

    def __init__(self, catalog: ModelCatalog, prices: PriceTable) -> None:
        self._catalog = catalog
        self._prices = prices

    async def of(self, run: RunSpec, prediction: Prediction | None) -> int:
        price = self._prices.price_of(run.model, run.kind)
        owner, _, name = run.model.partition("/")
        try:
            parameters = await self._catalog.parameters(owner, name, run.version)
        except AppError:
            parameters = None  # only guesses of lengths need it, and the event must be published now
        if prediction is None:
            return estimate(price, model=run.model, parameters=parameters, given=run.input).micros
        return run_cost(price, prediction, parameters=parameters, given=run.input)
