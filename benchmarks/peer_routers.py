"""Other routers behind one face: the numbers of the queries in, the numbers of models out.

All of them get the same embeddings. None keeps a budget: those with a knob between quality and
cost (kNN, semantic-router) have it set on the history, so that the money would just be enough.
"""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from router.arrays import Floats, Ints
from router.evaluation.experiment import EvaluationData

Choose = Callable[[Ints], Ints]
"""From int64[n] numbers of queries to int64[n] numbers of models."""
NEIGHBOURS = 40
"""Of the kNN router (RouterBench's own has 40)."""
TOGETHER = 512
"""Queries in a call that takes many."""
STEPS = 40
"""Halvings in the search for a price of money."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A router to compare with.

    Attributes:
        name: What it is called in the table.
        choose: Decides queries.
        batch: Queries that it is given at once, as its users do.
    """

    name: str
    choose: Choose
    batch: int = 1


def peers(data: EvaluationData, money: float) -> Iterator[Peer | str]:
    """Yield the peers that are installed; of each other one, why it is not there.

    Args:
        data: History and queries.
        money: Nano-units that a query may cost on average.
    """
    for make in (litellm_random, litellm_usage, semantic_router, knn):
        try:
            yield make(data, money)
        except ImportError as error:
            yield f"{make.__name__.replace('_', ' ')}: left out, {error}"


def litellm_random(data: EvaluationData, money: float) -> Peer:
    """LiteLLM's router with its default strategy."""
    return Peer("LiteLLM, simple-shuffle", _litellm(data, "simple-shuffle"), TOGETHER)


def litellm_usage(data: EvaluationData, money: float) -> Peer:
    """LiteLLM's router by requests and tokens of the minute."""
    return Peer("LiteLLM, usage-based", _litellm(data, "usage-based-routing-v2"), TOGETHER)


def _litellm(data: EvaluationData, strategy: str) -> Choose:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the internet else
    from litellm import Router

    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "coroutine 'BaseRoutingStrategy", RuntimeWarning)
    names = [f"m{number}" for number in range(len(data.queries.models))]
    router = Router(
        model_list=[
            {
                "model_name": "all",
                "litellm_params": {"model": f"openai/{name}", "api_key": "none"},
                "model_info": {"id": name},
            }
            for name in names
        ],
        routing_strategy=strategy,
    )

    async def each(rows: Ints) -> Ints:
        chosen = []
        for row in rows.tolist():
            words = [{"role": "user", "content": data.queries.prompts[row]}]
            found = await router.async_get_available_deployment("all", {}, messages=words)
            chosen.append(names.index(found["model_info"]["id"]))
        return np.array(chosen, dtype=np.int64)

    # It is asked for one query after the other; the event loop is made once for many.
    return lambda rows: asyncio.run(each(rows))


def semantic_router(data: EvaluationData, money: float) -> Peer:
    """semantic-router: a route a model; its examples are the past queries that it is best for."""
    from semantic_router import Route
    from semantic_router.encoders import DenseEncoder
    from semantic_router.routers import IndexedRouter

    known = {f"past {row}": vector for row, vector in enumerate(data.known.history.embeddings)}
    known |= {f"new {row}": vector for row, vector in enumerate(data.known.vectors)}

    class Given(DenseEncoder):  # type: ignore[misc]
        def __call__(self, docs: list[str]) -> list[list[float]]:
            return [known[text].tolist() for text in docs]

    scores, costs = _known(data.known.history.scores), _known(data.known.history.costs)
    best = best_at(scores, costs, price_for(scores, costs, costs, money))
    examples = {
        str(model): [f"past {row}" for row in np.flatnonzero(best == model)]
        for model in range(scores.shape[1])
    }
    router = IndexedRouter(
        encoder=Given(name="given"),
        routes=[Route(name=name, utterances=texts) for name, texts in examples.items() if texts],
    )

    def choose(rows: Ints) -> Ints:
        found = [router(f"new {row}").name for row in rows.tolist()]
        return np.array([int(name or 0) for name in found], dtype=np.int64)

    return Peer("semantic-router", choose)


def knn(data: EvaluationData, money: float) -> Peer:
    """A kNN router of scikit-learn: the best mean score less a price of the mean cost."""
    from sklearn.neighbors import KNeighborsRegressor

    history = data.known.history
    scores, costs = _known(history.scores), _known(history.costs)
    models = scores.shape[1]
    fitted = KNeighborsRegressor(NEIGHBOURS).fit(history.embeddings, np.hstack([scores, costs]))
    own = fitted.predict(history.embeddings)
    price = price_for(own[:, :models], own[:, models:], costs, money)

    def choose(rows: Ints) -> Ints:
        found = fitted.predict(data.known.vectors[rows])
        return best_at(found[:, :models], found[:, models:], price)

    return Peer("scikit-learn, kNN", choose, TOGETHER)


def _known(table: Floats) -> Floats:
    """Return a table with a column's mean for what is not known."""
    return np.where(np.isnan(table), np.nanmean(table, axis=0), table)


def best_at(scores: Floats, costs: Floats, price: float) -> Ints:
    """Return int64[n], each query's best model at a price of money.

    Args:
        scores: float64[n, M].
        costs: float64[n, M], nano-units.
        price: Score a nano-unit.
    """
    chosen: Ints = (scores - price * costs).argmax(axis=1)
    return chosen


def price_for(scores: Floats, costs: Floats, true_costs: Floats, money: float) -> float:
    """Return the price of money at which a query costs this much on average (bisection).

    Args:
        scores: float64[n, M], by which models are chosen.
        costs: float64[n, M], by which models are chosen, nano-units.
        true_costs: float64[n, M], what is paid.
        money: Nano-units a query.
    """
    rows, low, high = np.arange(len(scores)), -16.0, 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        spent = true_costs[rows, best_at(scores, costs, 10**middle)].mean()
        low, high = (middle, high) if spent > money else (low, middle)
    return float(10**high)
