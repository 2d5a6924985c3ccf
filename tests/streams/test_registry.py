"""What must hold of the registry: orders fold, the later one wins, none goes uncounted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.ledger import account_key
from schemas import BudgetControl, ModelControl
from schemas.control import Control
from streams.registry import Registry

NAMES = ("small", "large")
CONFIGURED = {"small": 100, "large": 200}

orders = st.lists(
    st.builds(
        ModelControl,
        name=st.sampled_from(NAMES),
        action=st.sampled_from(["pause", "resume", "remove"]),
    )
    | st.builds(
        BudgetControl,
        model=st.sampled_from(NAMES),
        limit=st.integers(0, 1000),
        tenant=st.none() | st.just("shop"),
    )
)


def folded(*messages: Control) -> Registry:
    registry = Registry()
    for message in messages:
        registry.take(message)
    return registry


def test_without_orders_everything_is_as_configured() -> None:
    """All models are open, and the limits are those of the file."""
    registry = Registry()
    assert registry.open(NAMES).tolist() == [True, True]
    assert registry.limits(CONFIGURED) == CONFIGURED
    assert (registry.status("small"), registry.version) == ("open", 0)


def test_closed_models_are_told_apart() -> None:
    """Paused and removed models take no queries, and each says which it is; resume opens both."""
    registry = folded(
        ModelControl(name="small", action="pause"), ModelControl(name="large", action="remove")
    )
    assert registry.open(NAMES).tolist() == [False, False]
    assert [registry.status(name) for name in NAMES] == ["paused", "removed"]
    for name in NAMES:
        registry.take(ModelControl(name=name, action="resume"))
    assert registry.open(NAMES).tolist() == [True, True]


@given(orders)
def test_only_the_last_order_of_each_kind_and_model_counts(messages: list[Control]) -> None:
    """As the topic is compacted by kind, model and tenant, no other may have left a trace."""
    registry = folded(*messages)
    last: dict[object, Control] = {}
    for message in messages:
        if isinstance(message, ModelControl):
            last["model", message.name] = message
        else:
            last["budget", message.model, message.tenant] = message
    compacted = folded(*last.values())
    assert registry.open(NAMES).tolist() == compacted.open(NAMES).tolist()
    assert registry.limits(CONFIGURED) == compacted.limits(CONFIGURED)
    assert registry.tenants == compacted.tenants
    assert [registry.status(n) for n in NAMES] == [compacted.status(n) for n in NAMES]
    assert registry.version == len(messages)


def test_limits_of_models_that_are_not_configured_are_left_out() -> None:
    """A limit for a model of another configuration adds no account; 0 is a limit, too."""
    registry = folded(
        BudgetControl(model="small", limit=0), BudgetControl(model="elsewhere", limit=7)
    )
    assert registry.limits(CONFIGURED) == {"small": 0, "large": 200}


def test_limits_of_tenants_are_accounts_of_their_own() -> None:
    """They stand beside their models' limits, win over the file's, and can be new; one of a model
    that is not configured is left out."""
    filed = account_key("small", "shop")
    registry = Registry([filed])
    assert registry.tenants == {filed}
    assert registry.limits(CONFIGURED | {filed: 5}) == CONFIGURED | {filed: 5}
    for model, tenant, limit in (("small", "shop", 0), ("large", "bank", 7), ("old", "shop", 9)):
        registry.take(BudgetControl(model=model, tenant=tenant, limit=limit))
    new = account_key("large", "bank")
    assert registry.limits(CONFIGURED | {filed: 5}) == CONFIGURED | {filed: 0, new: 7}
    assert {filed, new} <= registry.tenants


def test_what_cannot_be_followed_says_why_and_changes_nothing() -> None:
    """A new model: a reason is returned, and the rest goes on."""
    registry = Registry()
    new = ModelControl(name="new", action="add", input_price=1, output_price=1, limit=1)
    assert "sluice.toml" in (registry.take(new) or "")
    assert registry.limits(CONFIGURED) == CONFIGURED
    assert registry.status("new") == "open"
    assert registry.take(ModelControl(name="small", action="pause")) is None
    assert registry.version == 2
