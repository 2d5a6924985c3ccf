"""Sections of sluice.toml about amounts: budgets, limits, and what each covers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

from router.budget.limits import Limit
from schemas.control import check_time_zone
from schemas.fields import INT64, LATEST, NANO, Name, Unit, UnixTime, Window
from schemas.invalid import wrong
from streams.config.connection import Section

Moment = UnixTime | Annotated[datetime, Meta(tz=True)]


class Allowance(Section, frozen=True, kw_only=True):
    """When an amount may be spent again. start: of the first window; time_zone: IANA name."""

    window: Window = "none"
    start: Moment | None = None
    time_zone: str = "UTC"
    carry_over: bool = False

    def __post_init__(self) -> None:
        check_time_zone(self.time_zone)
        if not 0 < (self.starts_at() or 1) <= LATEST:
            raise wrong("start", self.start, "it must lie between 1970 and 5138")

    def starts_at(self) -> float | None:
        """When the first window begins, Unix seconds; None where it was not said."""
        return self.start.timestamp() if isinstance(self.start, datetime) else self.start


class ModelBudget(Allowance, frozen=True, kw_only=True):
    """What one model may spend in a window. limit: units of currency."""

    limit: Decimal

    def __post_init__(self) -> None:
        super().__post_init__()
        to_nano("limit", self.limit)


class TotalBudget(Allowance, frozen=True, kw_only=True):
    """What all models may spend together. split: "none" for one limit over all of them; "weighted"
    for a limit each, ∝ √(mean score / mean cost).
    """

    total: Decimal
    split: Literal["none", "weighted"] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        to_nano("total", self.total)


class LimitSettings(Allowance, frozen=True, kw_only=True):
    """A limit. models: names or shell patterns; tenants: "all" together, "each", or some together;
    amount: units of currency, or a number of tokens or requests.
    """

    amount: Decimal
    unit: Unit = "currency"
    models: Literal["all"] | Annotated[list[Name], Meta(min_length=1)] = "all"
    tenants: Literal["all", "each"] | Annotated[list[Name], Meta(min_length=1)] = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.whole()

    def whole(self) -> int:
        """The amount in nano-units, tokens or requests."""
        return to_whole("amount", self.amount, self.unit)

    def limit(self, name: str) -> Limit:
        """What the limit covers."""
        return Limit(
            name,
            self.unit,
            None if self.models == "all" else tuple(self.models),
            frozenset(self.tenants) if isinstance(self.tenants, list) else self.tenants,
        )


def to_nano(key: str, amount: Decimal) -> int:
    """Units of currency as whole nano-units. Raises Invalid for what is not such an amount."""
    if not amount.is_finite() or amount < 0:
        raise wrong(key, amount, "it must be an amount of 0 or more")
    if amount > INT64 // NANO:
        raise wrong(key, amount, f"it must be at most {INT64 // NANO}")
    nano = int(amount * NANO)
    if Decimal(nano) / NANO != amount:  # also where the product would be rounded, as of 1e-9999999
        raise wrong(key, amount, "it must be a whole number of nano-units (9 decimals at most)")
    return nano


def to_whole(key: str, amount: Decimal, unit: Unit) -> int:
    """An amount of a limit as nano-units, tokens or requests. Raises Invalid for what is none."""
    if unit == "currency":
        return to_nano(key, amount)
    if not amount.is_finite() or not 0 <= amount <= INT64 or amount != int(amount):
        raise wrong(key, amount, f"it must be a whole number of {unit}")
    return int(amount)
