"""What must hold of limits: a query draws on every account that covers its model and tenant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.budget.ledger import Ledger, account_key, owner
from router.budget.limits import (
    MOST_TENANTS,
    Limit,
    LimitSet,
    closed_to,
    tenants_in_force,
    with_tenants,
)

MODELS = ("gpt-4", "gpt-3", "llama")
LIMITS = LimitSet(
    [
        Limit.of_model("llama"),
        Limit("all"),
        Limit("openai", models=("gpt-*",)),
        Limit("tokens", "tokens"),
        Limit("partners", "requests", tenants=frozenset({"a", "b"})),
        Limit("fair", models=("gpt-4", "llama"), tenants="each"),
    ]
)
TENANTS = ("a", "b", "c", None)


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize("model", MODELS)
def test_a_query_draws_on_what_covers_it(model: str, tenant: str | None) -> None:
    """By model pattern and tenant; of a limit for each tenant, its own account."""
    special = account_key("openai", "c")
    coverage = LIMITS.accounts(MODELS, [tenant, "z"], [special, account_key("openai", "d")])
    assert coverage.queries is not None
    column = MODELS.index(model)
    drawn = {
        name
        for i, name in enumerate(coverage.names)
        if coverage.models[i, column] and coverage.queries[i, 0]
    }
    wanted = {"all", "tokens"}
    wanted |= {"llama"} if model == "llama" else {"openai"}
    wanted |= {"partners"} if tenant in ("a", "b") else set()
    wanted |= {account_key("fair", tenant or "")} if model != "gpt-3" else set()
    wanted |= {special} if tenant == "c" and model != "llama" else set()
    assert drawn == wanted


def test_limits_that_cover_all_are_known_beforehand() -> None:
    """First prices are for those; without tenants no query is told from another."""
    known = LIMITS.for_all(MODELS)
    assert known.names == ("llama", "all", "openai", "tokens")
    assert known.unit.tolist() == [0, 0, 0, 1]
    assert known.models[2].tolist() == [True, True, False]
    plain = LimitSet.per_model(MODELS)
    assert plain.accounts(MODELS, ["a", None], []).queries is None
    assert (plain.general, plain.measured, LIMITS.general, LIMITS.measured) == (0, 0, 1, 1)
    assert plain.extended(["new", "llama"]).index == {"gpt-4": 0, "gpt-3": 1, "llama": 2, "new": 3}
    with pytest.raises(ValueError, match="a name of its own"):
        LimitSet([Limit("a"), Limit("a")])


def test_a_models_own_limit_covers_it_alone() -> None:
    """Whatever signs of patterns its name holds."""
    names = ("llama[34]", "llama3", "*", "a?")
    limits = LimitSet.per_model(names)
    assert limits.models([*names, "ab"]).tolist() == [
        [row == column for column in range(5)] for row in range(4)
    ]


def test_units_are_those_of_the_limit() -> None:
    """Also of a tenant's account; what is no limit counts money."""
    accounts = ("tokens", account_key("partners", "a"), "fair", "gone")
    assert [LIMITS.unit_of(name) for name in accounts] == [
        "tokens",
        "requests",
        "currency",
        "currency",
    ]


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "é", "x\u00a0y"])), max_size=20))
def test_each_tenant_has_an_account_once_seen(tenants: list[str | None]) -> None:
    """Those that were seen stay; the amount is that of the limit unless it has its own."""
    ledger = Ledger(tuple(LIMITS.index), np.zeros(len(LIMITS), dtype=np.int64))
    for seen in range(len(tenants) + 1):
        names = tenants_in_force(LIMITS, ledger, frozenset(), tenants[:seen][-1:])
        ledger.limit_tenants(names)
    own = [name for name in ledger.names if owner(name)[1] is not None]
    assert sorted(own) == sorted({account_key("fair", tenant or "") for tenant in tenants})
    amounts = with_tenants({"fair": 5, "all": 9, account_key("fair", "a"): 7}, LIMITS, own)
    assert amounts == {"all": 9, account_key("fair", "a"): 7} | {
        name: 5 for name in own if name != account_key("fair", "a")
    }


def test_tenants_are_bounded() -> None:
    """Who comes later has no account, and so no room."""
    ledger = Ledger(tuple(LIMITS.index), np.zeros(len(LIMITS), dtype=np.int64))
    crowd = [f"t{i}" for i in range(MOST_TENANTS + 5)]
    ledger.limit_tenants(tenants_in_force(LIMITS, ledger, frozenset(), crowd))
    assert len(ledger.names) == len(LIMITS) + MOST_TENANTS
    ledger.limit_tenants(tenants_in_force(LIMITS, ledger, frozenset(), ["late"]))
    assert account_key("fair", "late") not in ledger.index


def test_closed_models_have_no_room() -> None:
    """A row of its own covers them, for every query."""
    closed = np.array([False, True, False])
    for tenants in (["a"], []):
        coverage = closed_to(LIMITS.accounts(MODELS, tenants, []), closed)
        assert coverage.models[-1].tolist() == closed.tolist()
        left = np.append(np.full(len(coverage) - 1, 100), 0)
        bounds = [np.full((len(tenants), 3), 7)] * 3
        assert coverage.fits(left, bounds).tolist() == [[True, False, True]] * len(tenants)


@given(st.sampled_from(TENANTS), st.sampled_from([*LIMITS.index, account_key("openai", "c")]))
def test_told_apart(tenant: str | None, account: str) -> None:
    """Which tenants an account covers is the same, asked one way or the other."""
    if account == "fair":
        return
    coverage = LIMITS.accounts(MODELS, [tenant], [account_key("openai", "c")])
    covered = account in coverage.names and (
        coverage.queries is None or bool(coverage.queries[coverage.names.index(account), 0])
    )
    assert LIMITS.of_tenants(account, [tenant]) == [covered]
    assert covered or LIMITS.tells_apart(account)
