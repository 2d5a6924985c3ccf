"""The models that queries are sent to, and what their answers may cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from router.arrays import Floats, Ints
from router.models.pools import NONE, Pool, served, shortest_pool

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        name: Unique in a catalog.
        input_price: Nano-units of the budget's currency per million prompt tokens.
        output_price: Nano-units per million output tokens.
        max_output_tokens: Longest answer.
        context: Tokens of prompt and answer together.
        cached_input_price: Nano-units per million prompt tokens that come from a cache; as
            `input_price` where left out.
        image_tokens: Prompt tokens reserved for each image; None where it takes none.
        audio_tokens: Prompt tokens reserved for each audio part; None where it takes none.
        allow_fields: Fields of a body that it takes though they may change the price.
        retry_uncertain: Calls beyond the first that may be billed for one answer.
        pools: Of its servers, by rising context; none where all are alike. `context` is that of
            the longest, and no pool is dearer than the model.
    """

    name: str
    input_price: int
    output_price: int
    max_output_tokens: int = 4096
    context: int = 128_000
    cached_input_price: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    allow_fields: frozenset[str] = frozenset()
    retry_uncertain: int = 0
    pools: tuple[Pool, ...] = ()

    def in_pool(self, name: str | None) -> Model:
        """Return the model as one of its pools has it; itself where it has no pool of that name."""
        for pool in self.pools:
            if pool.name == name:
                cached = self.cached_input_price
                return replace(
                    self,
                    context=pool.context,
                    input_price=pool.input_price,
                    output_price=pool.output_price,
                    cached_input_price=None if cached is None else min(cached, pool.input_price),
                    pools=(),
                )
        return self

    def cost(self, prompt_tokens: int, output_tokens: int, cached_tokens: int = 0) -> int:
        """Return an answer's cost, rounded up to whole nano-units.

        Args:
            prompt_tokens: Cached ones included.
            output_tokens: Reasoning included.
            cached_tokens: Of the prompt's.
        """
        millionths = prompt_tokens * self.input_price + output_tokens * self.output_price
        if self.cached_input_price is not None:
            millionths -= cached_tokens * (self.input_price - self.cached_input_price)
        return -(-millionths // MILLION)


class ModelCatalog:
    """An ordered set of models; every array with a model axis follows this order."""

    def __init__(self, models: Iterable[Model]) -> None:
        """Keep the models in the order given.

        Raises:
            ValueError: A name is given twice.
        """
        self.models = tuple(models)
        self.names = tuple(model.name for model in self.models)
        self.index = {name: i for i, name in enumerate(self.names)}
        if len(self.index) != len(self.names):
            twice = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"a catalog names each model once; given twice: {', '.join(twice)}")
        self.input_price = self._column("input_price")
        self.output_price = self._column("output_price")
        self.max_output_tokens = self._column("max_output_tokens")
        self.context = self._column("context")
        self.image_tokens = self._column("image_tokens")
        self.audio_tokens = self._column("audio_tokens")
        self.calls = 1 + self._column("retry_uncertain")
        self.free = (self.input_price == 0) & (self.output_price == 0)
        self.pooled = tuple(i for i, model in enumerate(self.models) if model.pools)
        """Numbers of the models that have pools."""

    def __len__(self) -> int:
        return len(self.models)

    def extended(self, newcomers: Iterable[Model]) -> ModelCatalog:
        """Return this catalog with more models after its own.

        Raises:
            ValueError: A name is given twice.
        """
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

    def pools(self, tokens: Ints, busy: Collection[str] = ()) -> Ints:
        """Return the pool of each request, int64[n, M], NONE for no pool (`shortest_pool`).

        Args:
            tokens: int64[n, M], prompt and longest answer.
            busy: The pools that requests spill from, as `served` names them.
        """
        chosen = np.full(tokens.shape, NONE, dtype=np.int64)
        for model in self.pooled:
            pools = self.models[model].pools
            contexts = [pool.context for pool in pools]
            spill = [served(self.names[model], pool.name) in busy for pool in pools]
            chosen[:, model] = shortest_pool(tokens[:, model], contexts, np.array(spill))
        return chosen

    def placed(
        self, tokens: Ints, answer: tuple[Ints, Ints], most: Ints, busy: Collection[str] = ()
    ) -> tuple[Ints, Ints]:
        """Return the pools that requests go to (`pools`), and what is reserved for them there.

        A request does not spill to where it would cost more than it may.

        Args:
            tokens: int64[n, M], prompt and longest answer.
            answer: Tokens of prompts and of all answers, as `cost` takes them.
            most: int64[n, 1], nano-units that a request may cost.
            busy: The pools that requests spill from.

        Returns:
            int64[n, M] and int64[n, M], nano-units.
        """
        pools = self.pools(tokens)
        bound = self.cost(*answer, pools) * self.calls
        if not (busy and self.pooled):
            return pools, bound
        others = self.pools(tokens, busy)
        elsewhere = self.cost(*answer, others) * self.calls
        spills = elsewhere <= most
        return np.where(spills, others, pools), np.where(spills, elsewhere, bound)

    def cost(self, prompt_tokens: Ints, output_tokens: Ints, pools: Ints | None = None) -> Ints:
        """Return answers' costs, int64[n, M], rounded up to whole nano-units.

        Args:
            prompt_tokens: int64[n, 1] or int64[n, M].
            output_tokens: int64[n, M].
            pools: int64[n, M], numbers of the pools that answer; None for the models' prices.
        """
        input_price, output_price = self.input_price, self.output_price
        if pools is not None and self.pooled:
            input_price = self._in_pools("input_price", pools)
            output_price = self._in_pools("output_price", pools)
        nano_millionths = prompt_tokens * input_price + output_tokens * output_price
        cost: Ints = -(-nano_millionths // MILLION)
        return cost

    def output_tokens_for(self, amount: Ints, prompt_tokens: Ints) -> Ints:
        """Return the output tokens that amounts pay for, int64[n, M] (inverse of `cost`).

        They are at least 0 and at most the model's `max_output_tokens`.

        Args:
            amount: int64[n, M] nano-units.
            prompt_tokens: int64[n, 1].
        """
        left = np.maximum(amount * MILLION - prompt_tokens * self.input_price, 0)
        tokens = left // np.maximum(self.output_price, 1)
        allowed: Ints = np.minimum(tokens, self.max_output_tokens)
        return allowed

    def mask(self, names: Iterable[str]) -> NDArray[np.bool_]:
        """Return bool[M], true for the named models.

        Raises:
            KeyError: A name is not in the catalog.
        """
        chosen = np.zeros(len(self), dtype=np.bool_)
        for name in names:
            chosen[self.index[name]] = True
        return chosen

    def _in_pools(self, field: str, pools: Ints) -> Ints:
        """Return int64[n, M]: a figure of the pools chosen, of the model where there is none."""
        values = np.broadcast_to(self._column(field), pools.shape).copy()
        for model in self.pooled:
            of_pools = [getattr(pool, field) for pool in self.models[model].pools]
            of_pools.append(int(values[0, model]) if len(values) else 0)  # NONE is the last
            values[:, model] = np.array(of_pools)[pools[:, model]]
        return values

    def _column(self, field: str) -> Ints:
        values = (getattr(model, field) for model in self.models)
        return np.array([value or 0 for value in values], dtype=np.int64)
