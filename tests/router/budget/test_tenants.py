"""What must hold of limits of tenants: as a loop over the queries would, with both accounts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.arrays import Ints
from router.budget.ledger import Ledger, account_key
from router.budget.tenants import BEYOND, route, tenant_accounts
from router.policies import POLICIES
from router.policies.base import NONE, Batch, Policy
from router.policies.explore import Explore
from tests.router.policies.test_policies import CUT_MATTERS, batch_of, free_of, seasoned

TENANTS = (None, "shop", "bank", "guest")
problems = st.tuples(st.integers(0, 2**32), st.integers(0, 25), st.integers(1, 4))


def given_policy(name: str, models: int) -> Policy:
    return (
        Explore(seasoned("primal-dual", models), 0.4)
        if name == "explore"
        else seasoned(name, models)
    )


def ledger_of(seed: int, models: int) -> Ledger:
    """Room for models as `free_of`; the shop has limits for most models, the bank for some."""
    random = np.random.default_rng(seed)
    names = [f"m{i}" for i in range(models)]
    ledger = Ledger(names, free_of(seed, models))
    ledger.limit_tenants(
        frozenset(
            account_key(model, tenant)
            for tenant, part in (("shop", 0.8), ("bank", 0.5))
            for model in names
            if random.uniform() < part
        )
    )
    ledger.share[models:] = random.integers(0, 300, len(ledger.share) - models)
    return ledger


def tenants_of(seed: int, n: int) -> list[str | None]:
    return [TENANTS[i] for i in np.random.default_rng(seed).integers(0, len(TENANTS), n)]


def one_by_one(
    policy: Policy, batch: Batch, ledger: Ledger, accounts: Ints | None
) -> list[tuple[int, str, float]]:
    """The simple loop: each query alone, with what those before it have left in every account."""
    room, models = ledger.free(), ledger.models
    found: list[tuple[int, str, float]] = []
    for row in range(len(batch.ids)):
        own = np.full(len(models), NONE) if accounts is None else accounts[row]
        short = [account != NONE and batch.bound[row, i] > room[account] for i, account in
                 enumerate(own)]  # fmt: skip
        alone = Batch(
            ids=batch.ids[row : row + 1],
            quality=batch.quality[row : row + 1],
            cost=batch.cost[row : row + 1],
            bound=np.where(short, BEYOND, batch.bound[row])[None],
            allowed=batch.allowed[row : row + 1],
        )
        decided = policy.route(alone, room[models])
        chosen = int(decided.model[0])
        found.append((chosen, decided.reason[0], float(decided.propensity[0])))
        for account in (models[chosen], own[chosen]) if chosen != NONE else ():
            if account != NONE:
                room[account] -= batch.bound[row, chosen]
    assert (room >= 0).all()
    return found


@pytest.mark.parametrize("name", [*sorted(POLICIES.keys() - CUT_MATTERS), "explore"])
@given(problem=problems)
def test_decisions_are_those_of_the_simple_loop(name: str, problem: tuple[int, int, int]) -> None:
    """Model, reason and propensity of each query, for every policy that decides in turn."""
    seed, n, models = problem
    batch, ledger = batch_of(seed, n, models), ledger_of(seed, models)
    policy = given_policy(name, models)
    names = [f"m{i}" for i in range(models)]
    accounts = tenant_accounts(ledger, names, tenants_of(seed, n))
    room = ledger.free()
    decided = route(policy, batch, room[ledger.models], accounts, room)
    found = list(
        zip(decided.model.tolist(), decided.reason, decided.propensity.tolist(), strict=True)
    )
    assert found == one_by_one(policy, batch, ledger, accounts)


@pytest.mark.parametrize("name", sorted(POLICIES))
@settings(max_examples=30)
@given(problem=problems)
def test_both_accounts_hold_what_was_decided(name: str, problem: tuple[int, int, int]) -> None:
    """Whatever the policy, a ledger can reserve all of a batch's decisions in both accounts."""
    seed, n, models = problem
    batch, ledger = batch_of(seed, n, models), ledger_of(seed, models)
    names = [f"m{i}" for i in range(models)]
    accounts = tenant_accounts(ledger, names, tenants_of(seed, n))
    room = ledger.free()
    decided = route(given_policy(name, models), batch, room[ledger.models], accounts, room)
    sent = np.flatnonzero(decided.model != NONE)
    chosen = decided.model[sent]
    amounts = batch.bound[sent, chosen]
    ledger.reserve(ledger.models[chosen], amounts)
    if accounts is not None:
        own = accounts[sent, chosen]
        ledger.reserve(own[own != NONE], amounts[own != NONE])
    assert (ledger.reserved <= ledger.share).all()


def test_no_room_for_a_tenant_is_no_budget_and_hinders_nobody_else() -> None:
    """A tenant's dry account sends it to the next best model, then nowhere; others go on."""
    batch = Batch(
        ids=list("abcde"),
        quality=np.tile([0.9, 0.5], (5, 1)),
        cost=np.ones((5, 2)),
        bound=np.full((5, 2), 10),
        allowed=np.ones((5, 2), dtype=np.bool_),
    )
    ledger = Ledger(["best", "next"], np.array([1000, 1000]))
    ledger.limit_tenants(frozenset({account_key("best", "shop"), account_key("next", "shop")}))
    ledger.share[2:] = 10
    accounts = tenant_accounts(ledger, ["best", "next"], ["shop", "shop", None, "shop", "bank"])
    policy = replace_prices(seasoned("primal-dual", 2))
    room = ledger.free()
    decided = route(policy, batch, room[:2], accounts, room)
    assert decided.model.tolist() == [0, 1, 0, NONE, 0]
    assert list(decided.reason) == ["best", "next_best", "best", "no_budget", "best"]
    assert decided.preferred is not None
    assert decided.preferred.tolist() == [0] * 5


def replace_prices(policy: Policy) -> Policy:
    """The same policy where money is worth nothing."""
    state = policy.snapshot()
    policy.restore({**state, "prices": dict.fromkeys(state["prices"], 0.0)})
    return policy


def test_without_limited_tenants_the_policy_is_asked_as_ever() -> None:
    """No tenant of the batch has a limit: there are no accounts to look at."""
    ledger = ledger_of(1, 3)
    names = ["m0", "m1", "m2"]
    assert ledger.tenants
    assert tenant_accounts(ledger, names, [None, "guest"]) is None
    batch, policy = batch_of(1, 20, 3), seasoned("primal-dual", 3)
    room = ledger.free()
    found = route(policy, batch, room[:3], None, room)
    assert found.model.tolist() == policy.route(batch, room[:3]).model.tolist()
    everything = replace(batch, allowed=np.ones_like(batch.allowed))
    assert (route(policy, everything, room[:3], None, room).model != NONE).any()
