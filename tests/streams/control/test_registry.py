"""What must hold of the registry: orders fold, the later one wins, none goes uncounted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.budget.ledger import account_key
from router.models.catalog import Model
from router.policies.floors import Floors
from schemas import BudgetControl, ModelControl
from schemas.control import Control, FloorControl, control_key
from schemas.wire import encode
from streams.control.registry import MOST_MODELS, Registry
from streams.kafka.logs import Record

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
    | st.builds(
        FloorControl,
        floor=st.none() | st.floats(0, 1),
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
        elif isinstance(message, FloorControl):
            last["floor", message.tenant] = message
        else:
            last["budget", message.model, message.tenant] = message
    compacted = folded(*last.values())
    assert registry.open(NAMES).tolist() == compacted.open(NAMES).tolist()
    assert registry.limits(CONFIGURED) == compacted.limits(CONFIGURED)
    assert registry.tenants == compacted.tenants
    floors = Floors(0.5, {"bank": 0.6})
    assert registry.floors(floors) == compacted.floors(floors)
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


def added(name: str, **changes: Any) -> ModelControl:
    terms: dict[str, Any] = {"input_price": 1, "output_price": 2, "limit": 1000, **changes}
    return ModelControl(name=name, action="add", **terms)


def test_an_added_model_is_new_with_its_terms() -> None:
    """It comes after those before it, with its own limit, of which it may use a part to be tried;
    it is paused, limited and removed as any other."""
    registry = Registry(models=CONFIGURED)
    assert registry.take(added("new", context=99)) is None
    assert registry.take(added("newer", limit=10)) is None
    assert registry.newcomers() == [Model("new", 1, 2, 4096, 99), Model("newer", 1, 2)]
    assert registry.limits(CONFIGURED) == CONFIGURED | {"new": 1000, "newer": 10}
    assert registry.allotted(CONFIGURED, 0.05) == CONFIGURED | {"new": 50, "newer": 0}
    assert registry.status("new") == "new"
    registry.take(BudgetControl(model="new", limit=400))
    registry.take(ModelControl(name="new", action="pause"))
    assert registry.allotted(CONFIGURED, 0.05)["new"] == 20
    assert registry.open(["small", "new", "newer"]).tolist() == [True, False, True]
    registry.take(ModelControl(name="new", action="remove"))
    assert registry.status("new") == "removed"
    assert [model.name for model in registry.newcomers()] == ["new", "newer"]


def test_a_model_that_is_known_is_not_added_again() -> None:
    """Not with other terms either, nor once it is removed; one that the configuration has come
    to name is that of the configuration. A model too many is refused."""
    registry = Registry(models=CONFIGURED)
    registry.take(added("new"))
    assert "already exists" in (registry.take(added("new", limit=5)) or "")
    registry.take(ModelControl(name="new", action="remove"))
    assert "already exists" in (registry.take(added("new")) or "")
    assert registry.limits(CONFIGURED)["new"] == 1000
    assert registry.take(added("small")) is None
    assert registry.limits(CONFIGURED)["small"] == 100
    assert len(registry.newcomers()) == 1
    many = Registry(models=CONFIGURED)
    refusals = [many.take(added(f"new {i}")) for i in range(MOST_MODELS)]
    assert refusals[MOST_MODELS - 3 :] == [None] + 2 * ["there are already 256 models, the maximum"]


def test_records_are_counted_by_offset_and_known_by_their_keys() -> None:
    """What no order is, or has another order's key, is passed over with a reason, and counted."""
    registry = Registry()
    pause = encode(ModelControl(name="small", action="pause"))
    assert registry.read(b"model/small", pause, 4) is None
    assert (registry.version, registry.status("small")) == (5, "paused")
    resume = encode(ModelControl(name="small", action="resume"))
    for key in (b"model/large", b"", None):
        assert "its key must be 'model/small'" in (registry.read(key, resume, 5) or "")
    assert "not JSON" in (registry.read(b"model/small", b"{", 6) or "")
    assert registry.read(b"model/small", None, 7) is None
    assert (registry.version, registry.status("small")) == (8, "paused")


def test_a_fold_of_the_topic_is_what_reading_it_makes() -> None:
    """Who comes later finds what those before have followed."""
    orders = [added("new"), ModelControl(name="new", action="pause"), added("new", limit=1)]
    records = [
        Record("control", 0, offset, 0, control_key(order).encode(), encode(order), ())
        for offset, order in enumerate(orders)
    ]
    registry = Registry.of(records)
    assert (registry.version, registry.status("new")) == (3, "paused")
    assert registry.limits({}) == {"new": 1000}


def test_floors_are_as_configured_until_set() -> None:
    """A floor that is taken back is the configured one again; without any policy of floors, none
    is in force."""
    configured = Floors(0.5, {"bank": 0.6})
    registry = folded(FloorControl(floor=0.7), FloorControl(floor=0.9, tenant="shop"))
    assert registry.floors(configured) == Floors(0.7, {"bank": 0.6, "shop": 0.9})
    assert registry.floors(None) is None
    registry.take(FloorControl())
    registry.take(FloorControl(tenant="shop"))
    assert registry.floors(configured) == configured
