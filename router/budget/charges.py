"""What a result costs: the one rule that ledger, audit, replay and history share."""

from __future__ import annotations

from msgspec.structs import replace

from router.models.catalog import ModelCatalog
from schemas import Result
from schemas.query import MAX_CHOICES
from schemas.result import FAILED
from schemas.usage import is_believable

MAX_CHARGE = 10**16
"""Nano-units one answer may cost; of a result that claims more the reservation is charged."""
FEES = 10
"""So many times what its tokens can cost at most an answer may be said to cost: servers charge for
other things too, and configured prices may be old."""


def known_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return what a result is known to cost, in nano-units.

    It is the provider's figure, else the usage at the prices of the model, or of the pool that the
    result names. A failure that gives neither costs nothing.

    Returns:
        The cost; None where it is not known: an answer gives no usage or one that cannot be
        believed, its model is not in the catalog (`lacks_price`), or the worker has marked its
        figure as an estimate.
    """
    if result.estimated:
        return None
    if result.cost is not None:
        return result.cost
    usage = result.usage
    if usage is None:
        return None if result.status_code < FAILED else 0
    if lacks_price(result, catalog):
        return None
    model = catalog.models[catalog.index[result.model]].in_pool(result.pool)
    cost = model.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    believed = cost > MAX_CHARGE or is_believable(usage, result.response, model.context)
    return cost if believed else None


def cost_of(result: Result, catalog: ModelCatalog, reserved: int) -> int:
    """Return what a result is charged, in nano-units: what it is known to cost, else an estimate.

    The estimate is the worker's own, else the reservation; a claim above `most_believed` is no
    estimate.

    Args:
        result: The result.
        catalog: The models with their prices.
        reserved: Nano-units that were reserved for it, released meanwhile or not.

    Returns:
        The charge.
    """
    claimed = claimed_cost(result, catalog)
    return reserved if claimed is None or claimed > most_believed(result, catalog) else claimed


def claimed_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return what a result is known or said to cost, in nano-units; None where nothing says so.

    Above `most_believed` the result is to be refused, once the reservation is charged.
    """
    known = known_cost(result, catalog)
    return result.cost if known is None else known


def lacks_price(result: Result, catalog: ModelCatalog) -> bool:
    """Return whether a result's cost follows from its usage, but for a model that has left the
    configuration while it was under way."""
    told = result.usage is not None and result.cost is None and not result.estimated
    return told and result.model not in catalog.index


def most_believed(result: Result, catalog: ModelCatalog) -> int:
    """Return the most that a result can claim to cost, in nano-units.

    Where it states a cost that is `FEES` times what its model's context and as many of its longest
    answers as a query may ask for cost. A model that is not in the catalog, or is free of charge,
    has no such bound.
    """
    number = catalog.index.get(result.model)
    if result.cost is None or number is None:
        return MAX_CHARGE
    model = catalog.models[number]
    call = model.cost(model.context, MAX_CHOICES * model.max_output_tokens)
    return min(FEES * call * (1 + model.retry_uncertain), MAX_CHARGE) or MAX_CHARGE


def without_false_usage(result: Result, catalog: ModelCatalog) -> Result:
    """Return a result as limits of tokens are to see it: usage that cannot be believed is not
    known, so that what was reserved counts."""
    usage, number = result.usage, catalog.index.get(result.model)
    if usage is None or number is None or result.estimated:
        return result
    model = catalog.models[number].in_pool(result.pool)
    if is_believable(usage, result.response, model.context):
        return result
    return replace(result, usage=None, estimated=True)
