"""What must hold of drawing: whatever limits overlap, none is overdrawn, and receipts tell all."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from router.budget.ledger import Ledger, account_key
from router.budget.limits import Limit, LimitSet, tenants_in_force
from router.estimation.scorer import Prepared
from router.models.catalog import Model, ModelCatalog
from router.policies import POLICIES
from router.policies.base import NONE, Batch
from streams.routing.drawing import draw_on, other_amounts

CATALOG = ModelCatalog(Model(name, 1_000_000, 2_000_000) for name in ("a", "b", "c"))
NAMES = CATALOG.names
tenants = st.sampled_from([None, "shop", "bank", "guest"])


def limits_of(seed: int, count: int) -> LimitSet:
    """Random limits; whatever they cover, each model has one of its own or is covered by none."""
    random = np.random.default_rng(seed)
    some = [Limit.of_model(name) for name in NAMES if random.uniform() < 0.5]
    for i in range(count):
        models = tuple(name for name in NAMES if random.uniform() < 0.6)
        covered = random.choice(["all", "each", "some"])
        some.append(
            Limit(
                f"l{i}",
                ("currency", "tokens", "requests")[random.integers(3)],
                models or None,
                frozenset({"shop", "guest"}) if covered == "some" else covered,
            )
        )
    return LimitSet(some)


def prepared(seed: int, n: int) -> Prepared:
    random = np.random.default_rng(seed)
    prompt = random.integers(1, 60, (n, 1))
    output = random.integers(1, 60, (n, len(NAMES)))
    bound = CATALOG.cost(prompt, output)
    batch = Batch(
        ids=[f"{seed}-{i}" for i in range(n)],
        quality=random.uniform(0, 1, bound.shape),
        cost=bound * random.uniform(0.2, 1.0, bound.shape),
        bound=bound,
        allowed=random.uniform(size=bound.shape) < 0.9,
    )
    likely = np.broadcast_to(prompt // 2, output.shape)
    return Prepared(
        batch,
        prompt + output,
        likely,
        output,
        np.zeros(n, np.bool_),
        np.ones_like(batch.allowed),
        np.full(bound.shape, NONE),
    )


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    asking=st.lists(tenants, max_size=30),
    count=st.integers(0, 6),
    share=st.integers(0, 3000),
    open_models=st.lists(st.booleans(), min_size=3, max_size=3),
    name=st.sampled_from(sorted(POLICIES)),
)
def test_no_limit_is_overdrawn_by_any_policy(
    seed: int,
    asking: list[str | None],
    count: int,
    share: int,
    open_models: list[bool],
    name: str,
) -> None:
    """Every policy keeps every account; what receipts say is what the ledger holds."""
    limits = limits_of(seed, count)
    ledger = Ledger(tuple(limits.index), np.full(len(limits), share))
    special = frozenset({account_key(one, "bank") for one in list(limits.index)[:1]})
    ledger.limit_tenants(tenants_in_force(limits, ledger, special, asking[:-3]))
    ledger.share[:] = share  # of those that were opened, too; later tenants have no account
    scored, is_open = prepared(seed, len(asking)), np.array(open_models)
    drawing = draw_on(scored, CATALOG, asking, limits, ledger)
    policy = POLICIES[name](CATALOG)
    policy.set_catalog(CATALOG, limits.for_all(NAMES))
    decisions = policy.route(*drawing.within(is_open, ledger))
    sent = decisions.model != NONE
    assert is_open[decisions.model[sent]].all()
    row, query, amounts = drawing.draws(decisions.model)
    ledger.reserve(drawing.accounts[row], amounts)  # raises where an account has no room
    told = np.zeros(len(ledger.names), dtype=np.int64)
    for i, held in enumerate(drawing.held(decisions.model, ledger)):
        model = int(decisions.model[i])
        if model == NONE:
            assert held.receipt == {}
            continue
        reserved = {
            "currency": int(scored.batch.bound[i, model]),
            "tokens": held.receipt.get("reserved_tokens", 0),
            "requests": 1,
        }
        named = held.receipt.get("limits")
        if named is None:
            tenant = held.receipt.get("tenant")
            names = [NAMES[model], *([account_key(NAMES[model], tenant)] if tenant else [])]
            named = {"currency": names}
        for unit, accounts in named.items():
            for account in accounts:
                told[ledger.index[account]] += reserved[unit]
    assert told.tolist() == ledger.reserved.tolist()
    assert len(query) == len(row)


def test_who_is_beyond_the_bound_finds_no_room() -> None:
    """A limit for each tenant without an account for this one lets nothing pass."""
    limits = LimitSet([Limit("fair", tenants="each")])
    ledger = Ledger(("fair",), np.array([0]))
    drawing = draw_on(prepared(1, 2), CATALOG, ["late", None], limits, ledger)
    _, free = drawing.within(np.ones(3, np.bool_), ledger)
    assert free.tolist() == [0, 0]
    assert drawing.accounts.tolist() == [NONE, NONE]


def test_what_is_short_is_named() -> None:
    """Each account that lacks room for where a query would have gone."""
    limits = LimitSet([Limit("all"), Limit("tpm", "tokens", ("a",))])
    ledger = Ledger(("all", "tpm"), np.array([10**6, 3]))
    drawing = draw_on(prepared(1, 3), CATALOG, [None] * 3, limits, ledger)
    short = list(drawing.short(np.array([0, 1, NONE]), ledger))
    assert [(draw.query, draw.name) for draw in short] == [(0, "tpm")]
    assert short[0].amount == drawing.batch.bounds[1][0, 0]


def test_the_past_has_amounts_of_every_unit() -> None:
    """Tokens from costs, and one request each."""
    tokens, requests = other_amounts(np.array([[3.0, 6.0, 9.0]]), CATALOG)
    assert tokens.tolist() == [[2, 4, 6]]
    assert requests.tolist() == [[1, 1, 1]]
