"""What a result costs: the one rule that ledger, audit, replay and history share."""

from __future__ import annotations

from router.models.catalog import ModelCatalog
from schemas import Result
from schemas.usage import is_believable

MAX_CHARGE = 10**16
"""Nano-units one answer may cost; of a result that claims more the reservation is charged."""


def known_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return what a result is known to cost, in nano-units.

    It is the provider's figure, else the usage at the prices of the model, or of the pool that the
    result names. A failure that gives neither costs nothing.

    Returns:
        The cost; None where it is not known: an answer gives no usage or one that cannot be
        believed, or the worker has marked its figure as an estimate.

    Raises:
        KeyError: The model is not in the catalog.
    """
    if result.estimated:
        return None
    if result.cost is not None:
        return result.cost
    usage = result.usage
    if usage is None:
        return None if 200 <= result.status_code < 300 else 0
    model = catalog.models[catalog.index[result.model]].in_pool(result.pool)
    cost = model.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    believed = cost > MAX_CHARGE or is_believable(usage, result.response, model.context)
    return cost if believed else None


def cost_of(result: Result, catalog: ModelCatalog, reserved: int) -> int:
    """Return what a result is charged, in nano-units: what it is known to cost, else an estimate.

    The estimate is the worker's own, else the reservation; a claim above `MAX_CHARGE` is no
    estimate.

    Args:
        result: The result.
        catalog: The models with their prices.
        reserved: Nano-units that were reserved for it, released meanwhile or not.

    Returns:
        The charge.

    Raises:
        KeyError: The model is not in the catalog.
    """
    claimed = claimed_cost(result, catalog)
    return reserved if claimed is None or claimed > MAX_CHARGE else claimed


def claimed_cost(result: Result, catalog: ModelCatalog) -> int | None:
    """Return what a result is known or said to cost, in nano-units; None where nothing says so.

    Above `MAX_CHARGE` the result is to be refused, once the reservation is charged.
    """
    known = known_cost(result, catalog)
    return result.cost if known is None else known
