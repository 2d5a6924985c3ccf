"""What a result costs: the one rule that ledger, audit, replay and history share."""

from __future__ import annotations

from msgspec.structs import replace

from router.models.catalog import Model, ModelCatalog
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
        believed, its model is not in the catalog (`lacks_price`), the worker has marked its figure
        as an estimate, or it is above `most_believed`.
    """
    return _if_believed(_told_cost(result, catalog), result, catalog)


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
    believed = believed_cost(result, catalog)
    return reserved if believed is None else believed


def claimed_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return what a result is known or said to cost, in nano-units; None where nothing says so.

    Above `most_believed` the result is to be refused, once the reservation is charged.
    """
    told = _told_cost(result, catalog)
    return result.cost if told is None else told


def believed_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return `claimed_cost`; None where it is above `most_believed`, too."""
    return _if_believed(claimed_cost(result, catalog), result, catalog)


def lacks_price(result: Result, catalog: ModelCatalog) -> bool:
    """Return whether a result's cost follows from its usage, but for a model that has left the
    configuration while it was under way."""
    told = result.usage is not None and result.cost is None and not result.estimated
    return told and _model_of(result, catalog) is None


def most_believed(result: Result, catalog: ModelCatalog) -> int:
    """Return the most that a result can claim to cost, in nano-units.

    Where it states a cost that is `FEES` times what its model's context and as many of its longest
    answers as a query may ask for cost. A model that is not in the catalog, or is free of charge,
    has no such bound.
    """
    model = _model_of(result, catalog)
    if result.cost is None or model is None:
        return MAX_CHARGE
    call = model.cost(model.context, MAX_CHOICES * model.max_output_tokens)
    return min(FEES * call * (1 + model.retry_uncertain), MAX_CHARGE) or MAX_CHARGE


def without_false_usage(result: Result, catalog: ModelCatalog) -> Result:
    """Return a result as limits of tokens are to see it: usage that cannot be believed is not
    known, so that what was reserved counts."""
    usage, model = result.usage, _model_of(result, catalog)
    if usage is None or model is None or result.estimated:
        return result
    if is_believable(usage, result.response, model.in_pool(result.pool).context):
        return result
    return replace(result, usage=None, estimated=True)


def _told_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return `known_cost`, however much it is."""
    if result.estimated:
        return None
    if result.cost is not None:
        return result.cost
    usage = result.usage
    if usage is None:
        return None if result.status_code < FAILED else 0
    if (model := _model_of(result, catalog)) is None:
        return None
    model = model.in_pool(result.pool)
    cost = model.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    believed = cost > MAX_CHARGE or is_believable(usage, result.response, model.context)
    return cost if believed else None


def _if_believed(cost: int | None, result: Result, catalog: ModelCatalog) -> int | None:
    return None if cost is None or cost > most_believed(result, catalog) else cost


def _model_of(result: Result, catalog: ModelCatalog) -> Model | None:
    number = catalog.index.get(result.model)
    return None if number is None else catalog.models[number]
