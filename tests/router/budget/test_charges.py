"""What results cost: known, or estimated."""

from __future__ import annotations

from typing import Any

import pytest

from router.budget.charges import MAX_CHARGE, claimed_cost, cost_of, known_cost
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
    """Its usage has no price."""
    with pytest.raises(KeyError):
        cost_of(result(model="c", usage=SMALL), CATALOG, RESERVED)
