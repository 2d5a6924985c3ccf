"""sluice.toml: what a deployment says about its models, money, topics and ways of deciding.

docs/reference/configuration.md explains every key; examples/sluice.toml is an example.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from msgspec import Meta, field

from router.arrays import Floats, Ints
from router.budget.ledger import account_key
from router.budget.windows import Windowing
from router.estimation.embedders import KINDS
from router.models.catalog import Model, ModelCatalog
from router.policies import POLICIES
from schemas.control import check_prices
from schemas.fields import INT64, NANO, MediaTokens, Name, Tokens, UnixTime, Window
from schemas.invalid import Invalid, missing, wrong
from streams.config.connection import (
    SHORT,
    Broker,
    RouterSettings,
    Seconds,
    Section,
    TopicSettings,
)
from streams.config.loader import ConfigError, read
from streams.config.serve import ServeSettings

__all__ = ["Broker", "Config", "ConfigError", "RouterSettings", "TopicSettings", "load"]

Positive = Annotated[int, Meta(ge=1, le=10**9)]
Part = Annotated[float, Meta(ge=0, le=1)]
Moment = UnixTime | Annotated[datetime, Meta(tz=True)]


class _Allowance(Section, frozen=True, kw_only=True):
    window: Window = "none"
    start: Moment | None = None
    time_zone: str = "UTC"
    carry_over: bool = False

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise wrong("time_zone", self.time_zone, "it must be an IANA name") from None

    def starts_at(self) -> float | None:
        """When the first window begins, Unix seconds; None where it was not said."""
        return self.start.timestamp() if isinstance(self.start, datetime) else self.start


class ModelBudget(_Allowance, frozen=True, kw_only=True):
    """What one model may spend in a window. limit: units of currency."""

    limit: Decimal

    def __post_init__(self) -> None:
        super().__post_init__()
        to_nano("limit", self.limit)


class TotalBudget(_Allowance, frozen=True, kw_only=True):
    """What all models may spend, shared by a rule. weighted: ∝ √(mean score / mean cost)."""

    total: Decimal
    split: Literal["weighted"] = "weighted"

    def __post_init__(self) -> None:
        super().__post_init__()
        to_nano("total", self.total)


class ModelSettings(Section, frozen=True, kw_only=True):
    """One model. Prices: units of currency per million tokens; name: as its server calls it.

    image_tokens, audio_tokens: reserved for each such part; it takes none where they are left out.
    allow_fields: of a body, though they may change the price. retry_uncertain: calls beyond the
    first that may have been billed without an answer.
    """

    input_price: Decimal
    output_price: Decimal
    max_output_tokens: Tokens = 4096
    context: Tokens = 128_000
    cached_input_price: Decimal | None = None
    image_tokens: MediaTokens | None = None
    audio_tokens: MediaTokens | None = None
    budget: ModelBudget | None = None
    name: Name | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    timeout: Seconds = 120.0
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 16
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    allow_fields: list[str] = field(default_factory=list)
    extra_body: dict[str, Any] = field(default_factory=dict)
    extra_headers: dict[str, str] = field(default_factory=dict)
    retry_uncertain: Annotated[int, Meta(ge=0, le=10)] = 0

    def __post_init__(self) -> None:
        check_prices(
            to_nano("input_price", self.input_price),
            to_nano("output_price", self.output_price),
            self.max_output_tokens,
            self.context,
            self.cached_price(),
        )

    def __repr__(self) -> str:
        """Without values of headers: they may be secrets."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        shown["extra_headers"] = sorted(self.extra_headers)
        return f"ModelSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def cached_price(self) -> int | None:
        """Nano-units per million prompt tokens that come from a cache."""
        price = self.cached_input_price
        return None if price is None else to_nano("cached_input_price", price)


class TenantSettings(Section, frozen=True, kw_only=True):
    """One tenant. limits: what it may spend of models in their budgets' windows, by model; units
    of currency.
    """

    limits: dict[Name, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, limit in self.limits.items():
            to_nano(f"limits.{model}", limit)


class EmbedderSettings(Section, frozen=True, kw_only=True):
    """How texts become vectors. What a kind does not need is left out."""

    kind: str = "wordllama"
    model: str | None = None
    url: str | None = None
    dimension: Positive | None = None
    api_key_env: str | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, KINDS)
        needs = {
            "sentence-transformers": ["model"],
            "http": ["url", "model", "dimension"],
            "given": ["dimension"],
        }
        for name in needs.get(self.kind, ()):
            if getattr(self, name) is None:
                raise missing(name, f"embedder {self.kind} needs it")

    def arguments(self) -> dict[str, Any]:
        """What `make_embedder` takes beside the kind: the keys that are set."""
        names = ("model", "url", "dimension", "api_key_env")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class IndexSettings(Section, frozen=True, kw_only=True):
    """The folder that `sluice index build` wrote, and how it is searched."""

    path: Path = Path("index")
    kind: Literal["annoy", "exact"] = "annoy"
    trees: Annotated[int, Meta(ge=1, le=1000)] = 20
    search_k: Positive = 800


class PolicySettings(Section, frozen=True, kw_only=True):
    """How queries are decided. expected_queries: arrivals in one budget window."""

    expected_queries: Positive
    name: str = "primal-dual"
    resolve_every: Positive = 250
    resolve_seconds: Seconds = 1.0
    window: Annotated[int, Meta(ge=10, le=100_000)] = 2000
    explore: Part = 0.0
    seed: Annotated[int, Meta(ge=0, le=INT64)] = 0

    def __post_init__(self) -> None:
        _one_of("name", self.name, POLICIES)


class NewcomerSettings(Section, frozen=True, kw_only=True):
    """How models are tried that were added at run time. budget: the part of a newcomer's limit that
    it may use before an index knows it; probability: with which a query goes to a newcomer.
    """

    budget: Part = 0.05
    probability: Part = 0.02


class ReservationSettings(Section, frozen=True, kw_only=True):
    """What is held for an answer, and for how long where no result comes. clock_margin: seconds
    before the release by which workers end their calls.
    """

    mode: Literal["max", "quantile"] = "max"
    quantile: Annotated[float, Meta(gt=0, le=1)] = 0.99
    deadline_seconds: Seconds = 600.0
    clock_margin: Annotated[float, Meta(ge=0, le=1e6)] = 2.0


class DeferralSettings(Section, frozen=True, kw_only=True):
    """How deferred queries wait. retry_seconds: between two looks at them; max_waiting: so many
    wait on one partition at most.
    """

    retry_seconds: Seconds = 10.0
    max_waiting: Annotated[int, Meta(ge=0, le=10**9)] = 100_000


class Config(Section, frozen=True, kw_only=True):
    """A whole sluice.toml."""

    models: Annotated[dict[Name, ModelSettings], Meta(min_length=1, max_length=256)]
    policy: PolicySettings
    budget: TotalBudget | None = None
    tenants: dict[Name, TenantSettings] = field(default_factory=dict)
    broker: Broker = field(default_factory=Broker)
    topics: TopicSettings = field(default_factory=TopicSettings)
    embedder: EmbedderSettings = field(default_factory=EmbedderSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    newcomers: NewcomerSettings = field(default_factory=NewcomerSettings)
    reservation: ReservationSettings = field(default_factory=ReservationSettings)
    deferral: DeferralSettings = field(default_factory=DeferralSettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)

    def __post_init__(self) -> None:
        for name, model in self.models.items():
            key = f"models.{name}.budget"
            if self.budget is None and model.budget is None:
                raise missing(key, "each model needs one, or [budget] a total for all")
            if self.budget is not None and model.budget is not None:
                raise wrong(key, {}, "it must be left out where [budget] gives a total for all")
        for tenant, settings in self.tenants.items():
            for limited in settings.limits:
                if limited not in self.models:
                    key = f"tenants.{tenant}.limits.{limited}"
                    known = ", ".join(self.models)
                    rule = f"{key}: {limited!r} is no model; there are: {known}"
                    raise Invalid("invalid_field", rule, key)

    def catalog(self) -> ModelCatalog:
        """The models in the order of the file, priced in nano-units."""
        return ModelCatalog(
            Model(
                name,
                to_nano("input_price", model.input_price),
                to_nano("output_price", model.output_price),
                model.max_output_tokens,
                model.context,
                model.cached_price(),
                model.image_tokens,
                model.audio_tokens,
                frozenset(model.allow_fields),
                model.retry_uncertain,
            )
            for name, model in self.models.items()
        )

    def allowance(self, model: str) -> ModelBudget | TotalBudget:
        """Whose window and start a model's budget follows. Raises KeyError for an unknown model."""
        own = self.models[model].budget
        budget = own if own is not None else self.budget
        assert budget is not None  # __post_init__ saw to it
        return budget

    def windows(self) -> dict[str, Windowing]:
        """How each model's budget windows follow one another."""
        found = {name: self.allowance(name) for name in self.models}
        return {
            name: Windowing(one.window, one.time_zone, one.starts_at())
            for name, one in found.items()
        }

    def tenant_limits(self) -> dict[str, int]:
        """Nano-units by account (`account_key`), of tenants that have limits."""
        return {
            account_key(model, tenant): to_nano("limit", limit)
            for tenant, settings in self.tenants.items()
            for model, limit in settings.limits.items()
        }

    def limits(self, score: Floats | None = None, cost: Floats | None = None) -> Ints:
        """int64[M] nano-units, each model's limit, in the order of the file.

        score: float64[M] mean scores of the history; cost: float64[M] mean costs in nano-units;
        a shared total is split by them, and spent to the last nano-unit. Raises ValueError where
        they are needed and not given, or not finite.
        """
        if self.budget is None:
            own = [m.budget.limit for m in self.models.values() if m.budget is not None]
            return np.array([to_nano("limit", limit) for limit in own], dtype=np.int64)
        if score is None or cost is None or not np.isfinite([score, cost]).all():
            raise ValueError("[budget] splits its total by a history with outcomes of each model")
        # A model that never scores, or costs nothing, still gets a share that is a number.
        weight = np.sqrt(np.maximum(score, 1e-6) / np.maximum(cost, 1e-3))
        total = to_nano("total", self.budget.total)
        parts = (np.cumsum(weight)[:-1] / weight.sum()).tolist()
        ends = [0, *(min(round(Decimal(part) * total), total) for part in parts), total]
        return np.array([end - start for start, end in pairwise(ends)], dtype=np.int64)


def load(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration: the file named, else by SLUICE_CONFIG, else ./sluice.toml.

    Raises ConfigError, which names the file, the key, what was found and the rule.
    """
    environment = os.environ if environment is None else environment
    file = Path(path or environment.get("SLUICE_CONFIG") or "sluice.toml")
    return read(Config, file, environment, SHORT)


def to_nano(key: str, amount: Decimal) -> int:
    """Units of currency as whole nano-units. Raises Invalid for what is not such an amount."""
    if not amount.is_finite() or amount < 0:
        raise wrong(key, amount, "it must be an amount of 0 or more")
    if amount > INT64 // NANO:
        raise wrong(key, amount, f"it must be at most {INT64 // NANO}")
    if (nano := amount * NANO) != int(nano):
        raise wrong(key, amount, "it must be a whole number of nano-units (9 decimals at most)")
    return int(nano)


def _one_of(key: str, word: str, known: Mapping[str, object]) -> None:
    if word not in known:
        rule = f"it must be one of: {', '.join(known)}"
        raise Invalid("invalid_field", f"{key}: found {word!r}, {rule}", key)
