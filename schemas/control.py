"""Topic `control`: what an operator changes at run time."""

from __future__ import annotations

from typing import Any, Literal, cast

from schemas.fields import Name, Nano, NanoPerMillion, Tokens, UnixTime, Window
from schemas.invalid import missing, wrong
from schemas.wire import Message, decode

DEAREST = 2**62
"""Nano-unit millionths. The cost of an answer is worked out in 64 bits, on arrays."""


class ModelControl(Message, frozen=True, kw_only=True, tag_field="kind", tag="model"):
    """Add, remove, pause or resume a model. `add` needs both prices."""

    name: Name
    action: Literal["add", "remove", "pause", "resume"]
    input_price: NanoPerMillion | None = None
    output_price: NanoPerMillion | None = None
    max_output_tokens: Tokens = 4096
    context: Tokens = 128_000

    def __post_init__(self) -> None:
        if self.action == "add":
            for field in ("input_price", "output_price"):
                if getattr(self, field) is None:
                    raise missing(field, "a model that is added must have a price")
        prices = self.input_price or 0, self.output_price or 0
        check_prices(*prices, self.max_output_tokens, self.context)


class BudgetControl(Message, frozen=True, kw_only=True, tag_field="kind", tag="budget"):
    """Set a model's budget, for one tenant or for all. start: when its first window begins."""

    model: Name
    limit: Nano
    window: Window = "none"
    tenant: Name | None = None
    start: UnixTime | None = None


Control = ModelControl | BudgetControl


def decode_control(data: bytes | None) -> Control:
    """Read one control message of either kind. Raises Invalid."""
    return cast(Control, decode(cast(Any, Control), data))


def check_prices(input_price: int, output_price: int, output_tokens: int, context: int) -> None:
    """Raise Invalid where a model's longest answer costs more than can be worked out."""
    if input_price * context + output_price * output_tokens > DEAREST:
        rule = "with context and max_output_tokens the longest answer must cost below 4.6e12"
        raise wrong("output_price", output_price, f"{rule} nano-units")
