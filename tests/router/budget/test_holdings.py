"""What must hold of holdings: a receipt alone tells what its reservation holds, of every unit."""

from __future__ import annotations

import pytest

from router.budget.holdings import MAX_TOKENS, Holding, holdings, located
from schemas import Receipt, Result, Source, Usage
from schemas.fields import Unit


def receipt(**fields: object) -> Receipt:
    known = {
        "id": "q",
        "decision_id": "queries/0/0",
        "decision": "routed",
        "reason": "best",
        "policy": "primal-dual",
        "source": Source("queries", 0, 0),
        "decided_at": 1.0,
        "model": "a",
        "reserved": 70,
    }
    return Receipt(**{**known, **fields})  # type: ignore[arg-type]


def test_without_limits_it_is_the_model_and_the_tenant() -> None:
    """As receipts of 0.1.0 mean it; the window is the row's."""
    assert holdings(receipt()) == (Holding("a", "currency", 70),)
    shop = holdings(receipt(tenant="shop"))
    assert shop == (Holding("a", "currency", 70), Holding("a\tshop", "currency", 70))
    assert holdings(receipt(decision="deferred", model=None)) == ()


def test_limits_name_the_accounts_by_unit() -> None:
    """Money, tokens and requests each hold their own amount, in their own window."""
    limits = {"currency": ["all", "fair\tshop"], "tokens": ["tpm"], "requests": ["rpm"]}
    windows = {"tpm": 60, "rpm": 120}
    found = holdings(receipt(limits=limits, windows=windows, reserved_tokens=900, tenant="shop"))
    assert found == (
        Holding("all", "currency", 70, 0),
        Holding("fair\tshop", "currency", 70, 0),
        Holding("tpm", "tokens", 900, 60),
        Holding("rpm", "requests", 1, 120),
    )
    assert holdings(receipt(limits={"currency": []})) == ()  # no limit covers it


@pytest.mark.parametrize(
    ("unit", "status", "usage", "estimated", "charged"),
    [
        ("currency", 200, None, False, 33),
        ("requests", 500, None, False, 1),
        ("tokens", 200, (10, 20), False, 30),
        ("tokens", 200, (10, 20), True, 900),
        ("tokens", 200, None, False, 900),
        ("tokens", 500, None, False, 0),
        ("tokens", 500, None, True, 900),
        ("tokens", 200, (10**15, 0), False, MAX_TOKENS),
    ],
)
def test_charges(
    unit: Unit, status: int, usage: tuple[int, int] | None, estimated: bool, charged: int
) -> None:
    """Money is the cost; tokens those used, or those reserved where that is not known."""
    result = Result(
        id="q",
        decision_id="queries/0/0",
        model="a",
        status_code=status,
        usage=Usage(prompt_tokens=usage[0], completion_tokens=usage[1]) if usage else None,
        estimated=estimated,
    )
    assert Holding("x", unit, 900).charge(result, 33) == charged


def test_where_a_ledger_keeps_what_is_held() -> None:
    """By the number of the account, and the window of the receipt or else the row's; accounts that
    are gone are left out."""
    plain = receipt(tenant="shop")
    assert list(located(plain, {"a": 3}, 60)) == [(3, 60, Holding("a", "currency", 70))]
    limited = receipt(limits={"requests": ["rpm"], "tokens": ["tpm"]}, windows={"rpm": 120})
    assert list(located(limited, {"rpm": 1}, 60)) == [(1, 120, Holding("rpm", "requests", 1, 120))]
