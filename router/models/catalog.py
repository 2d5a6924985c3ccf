"""The models that queries can be sent to, and what an answer of theirs may cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Ints

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """One model. Prices are integer nano-units of the budget's currency per million tokens."""

    name: str
    input_price: int
    output_price: int
    max_output_tokens: int = 4096
    context: int = 128_000

    def cost(self, prompt_tokens: int, output_tokens: int) -> int:
        """What one answer costs, rounded up to whole nano-units."""
        return -(-(prompt_tokens * self.input_price + output_tokens * self.output_price) // MILLION)


class ModelCatalog:
    """An ordered set of models; every array with a model axis follows this order."""

    def __init__(self, models: Iterable[Model]) -> None:
        """Keep the models in the order given. Raises ValueError for a name given twice."""
        self.models = tuple(models)
        self.names = tuple(model.name for model in self.models)
        self.index = {name: i for i, name in enumerate(self.names)}
        if len(self.index) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"a fleet names each model once; given twice: {', '.join(twice)}")
        self.input_price = self._column("input_price")
        self.output_price = self._column("output_price")
        self.max_output_tokens = self._column("max_output_tokens")
        self.context = self._column("context")

    def __len__(self) -> int:
        return len(self.models)

    def extended(self, newcomers: Iterable[Model]) -> ModelCatalog:
        """This fleet with more models after its own. Raises ValueError for a name given twice."""
        return ModelCatalog([*self.models, *newcomers])

    def align(self, values: Floats, before: ModelCatalog, missing: float) -> Floats:
        """Reorder per-model values of another catalog to this one, matching models by name.

        Args:
            values: float64[..., K], the last axis in the order of `before`.
            before: The catalog of `values`, of K models.
            missing: The value of models that `before` does not have.

        Returns:
            float64[..., M], the last axis in the order of this catalog.
        """
        columns = [before.index.get(name, -1) for name in self.names]
        padding = np.full((*values.shape[:-1], 1), missing)
        aligned: Floats = np.concatenate([values, padding], axis=-1)[..., columns]
        return aligned

    def cost(self, prompt_tokens: Ints, output_tokens: Ints) -> Ints:
        """What answers cost, rounded up to whole nano-units.

        prompt_tokens: int64[n, 1] or [n, M]; output_tokens: int64[n, M]. Returns int64[n, M].
        """
        nano_millionths = prompt_tokens * self.input_price + output_tokens * self.output_price
        cost: Ints = -(-nano_millionths // MILLION)
        return cost

    def output_tokens_for(self, amount: Ints, prompt_tokens: Ints) -> Ints:
        """The most output tokens that `amount` nano-units pay for (inverse of `cost`).

        amount: int64[n, M]; prompt_tokens: int64[n, 1]. Returns int64[n, M], at least 0 and at
        most the model's `max_output_tokens`.
        """
        left = np.maximum(amount * MILLION - prompt_tokens * self.input_price, 0)
        tokens = left // np.maximum(self.output_price, 1)
        allowed: Ints = np.minimum(tokens, self.max_output_tokens)
        return allowed

    def mask(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """bool[M], true for the named models. Raises KeyError for a name not in the fleet."""
        chosen = np.zeros(len(self), dtype=np.bool_)
        for name in names:
            chosen[self.index[name]] = True
        return chosen

    def _column(self, field: str) -> Ints:
        return np.array([getattr(model, field) for model in self.models], dtype=np.int64)
