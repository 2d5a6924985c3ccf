"""Rules of commands to routers."""

from __future__ import annotations

import pytest

from schemas import (
    BudgetControl,
    Control,
    Invalid,
    ModelControl,
)
from schemas.control import control_key


def test_prices_that_overflow_are_refused() -> None:
    """The longest answer's cost must be countable in 64 bits, with any price and length."""
    with pytest.raises(Invalid, match="output_price: found an integer, with context"):
        ModelControl(
            name="m",
            action="add",
            input_price=0,
            output_price=10**12,
            limit=1,
            max_output_tokens=10**7,
        )


@pytest.mark.parametrize("zone", ["", "Atlantis", "../etc", "Europe"])
def test_a_model_is_added_in_a_known_time_zone(zone: str) -> None:
    """Routers must not meet a window that no calendar knows."""
    with pytest.raises(Invalid, match="time_zone: found a string, it must be an IANA name"):
        ModelControl(name="m", action="add", input_price=1, output_price=1, limit=1, time_zone=zone)


def test_control_keys_keep_apart_what_must_outlive_compaction() -> None:
    """Pausing a model does not compact away what it is, nor a tenant's limit the model's."""
    add = ModelControl(name="m", action="add", input_price=1, output_price=1, limit=1)
    orders: list[Control] = [
        add,
        ModelControl(name="m", action="pause"),
        BudgetControl(model="m", limit=1),
        BudgetControl(model="m", limit=1, tenant="shop"),
    ]
    assert len({control_key(order) for order in orders}) == len(orders)
    assert control_key(orders[1]) == control_key(ModelControl(name="m", action="remove"))
