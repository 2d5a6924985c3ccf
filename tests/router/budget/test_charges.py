"""What results cost: known, or estimated."""

from __future__ import annotations

from typing import Any

import pytest

from router.budget.charges import (
    MAX_CHARGE,
    claimed_cost,
    cost_of,
    known_cost,
    lacks_price,
    most_believed,
    without_false_usage,
)
from router.models.catalog import Model, ModelCatalog
from router.models.pools import Pool
from schemas import Result, Usage

RESERVED = 1000
POOLED = Model("p", 1_000_000, 2_000_000, pools=(Pool("short", 500, 1_000_000, 1_000_000),))
CATALOG = ModelCatalog(
    [
        Model("a", 1_000_000, 2_000_000, context=500, cached_input_price=500_000),
        Model("b", 10, 20),
        POOLED,
    ]
)
SMALL = Usage(prompt_tokens=3, completion_tokens=2)


def result(**fields: Any) -> Result:
    given = {"id": "q", "decision_id": "d", "model": "a", "status_code": 200}
    return Result(**{**given, **fields})


@pytest.mark.parametrize(
    ("fields", "known", "charged"),
    [
        ({"cost": 3, "usage": SMALL}, 3, 3),
        ({"usage": SMALL}, 3 + 4, 3 + 4),
        ({"usage": Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=2)}, 6, 6),
        ({"model": "b", "usage": SMALL}, 1, 1),
        ({"model": "p", "pool": "short", "usage": SMALL}, 3 + 2, 3 + 2),
        ({"model": "p", "usage": SMALL}, 3 + 4, 3 + 4),
        ({}, None, RESERVED),
        ({"status_code": 102}, None, RESERVED),
        ({"usage": Usage(prompt_tokens=0, completion_tokens=0)}, None, RESERVED),
        ({"usage": SMALL, "response": "so many words " * 100}, None, RESERVED),
        ({"usage": Usage(prompt_tokens=3, completion_tokens=500)}, None, RESERVED),
        ({"cost": 900, "estimated": True}, None, 900),
        ({"status_code": 503}, 0, 0),
        ({"status_code": 503, "usage": SMALL}, 7, 7),
        ({"status_code": 504, "cost": RESERVED, "estimated": True}, None, RESERVED),
    ],
)
def test_costs(fields: dict[str, Any], known: int | None, charged: int) -> None:
    """The provider's figure, else believable usage at the prices of model or pool, else the
    reservation."""
    one = result(**fields)
    assert (known_cost(one, CATALOG), cost_of(one, CATALOG, RESERVED)) == (known, charged)


def test_usage_beyond_all_bounds_is_for_the_caller_to_refuse() -> None:
    """It is no estimate: the message is wrong."""
    usage = Usage(prompt_tokens=1, completion_tokens=2**63 - 1)
    claimed = claimed_cost(result(usage=usage), CATALOG)
    assert claimed is not None
    assert claimed > MAX_CHARGE
    assert cost_of(result(usage=usage), CATALOG, RESERVED) == RESERVED


def test_a_result_of_no_known_model() -> None:
    """Its usage has no price, for it has left the configuration: the reservation counts."""
    gone = result(model="c", usage=SMALL)
    assert (known_cost(gone, CATALOG), cost_of(gone, CATALOG, RESERVED)) == (None, RESERVED)
    assert lacks_price(gone, CATALOG)
    for known in ({"model": "a"}, {"cost": 3}, {"usage": None}, {"estimated": True}):
        assert not lacks_price(result(**{"model": "c", "usage": SMALL, **known}), CATALOG)


CALL = 500 + 128 * 4096 * 2
"""Nano-units of a full context and 128 longest answers of the model `a`."""


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"cost": 1}, 10 * CALL),
        ({"cost": 1, "estimated": True}, 10 * CALL),
        ({"cost": 1, "status_code": 502}, 10 * CALL),
        ({"cost": 1, "model": "retried"}, 30 * CALL),
        ({"cost": 1, "model": "free"}, MAX_CHARGE),
        ({"cost": 1, "model": "unknown"}, MAX_CHARGE),
        ({"usage": SMALL}, MAX_CHARGE),
    ],
)
def test_a_stated_cost_is_believed_as_far_as_the_model_can_reach(
    fields: dict[str, Any], most: int
) -> None:
    """Ten times what its tokens can cost, for each call: one message empties no limit."""
    models = [
        *CATALOG.models,
        Model("retried", 1_000_000, 2_000_000, context=500, retry_uncertain=2),
        Model("free", 0, 0),
    ]
    catalog, one = ModelCatalog(models), result(**fields)
    assert most_believed(one, catalog) == most
    if one.cost is not None and one.model in catalog.index:
        assert cost_of(result(**fields | {"cost": most}), catalog, RESERVED) == most
        dear = result(**fields | {"cost": most + 1})
        assert (known_cost(dear, catalog), cost_of(dear, catalog, RESERVED)) == (None, RESERVED)


@pytest.mark.parametrize(
    ("usage", "fields", "believed"),
    [
        (SMALL, {}, True),
        (SMALL, {"model": "unknown", "cost": 3}, True),
        (Usage(prompt_tokens=3, completion_tokens=4 * 10**9), {}, False),
        (Usage(prompt_tokens=3, completion_tokens=4 * 10**9), {"cost": 5}, False),
        (Usage(prompt_tokens=0, completion_tokens=0), {"response": "so many words"}, False),
    ],
)
def test_limits_of_tokens_do_not_see_false_usage(
    usage: Usage, fields: dict[str, Any], believed: bool
) -> None:
    """What was reserved counts, as for money; a cost that is stated stays."""
    one = result(usage=usage, **fields)
    seen = without_false_usage(one, CATALOG)
    assert (seen.usage, seen.estimated) == ((usage, False) if believed else (None, True))
    assert seen.cost == one.cost
