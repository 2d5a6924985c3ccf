"""sluice.toml: what a deployment says about its models, money, topics and ways of deciding.

docs/reference/configuration.md explains every key; examples/sluice.toml is an example.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field

from router.arrays import Floats
from router.budget.ledger import account_key
from router.budget.limits import Limit, LimitSet
from router.budget.windows import Windowing
from router.estimation.embedders import KINDS
from router.models.catalog import ModelCatalog
from router.models.pools import served
from router.policies import POLICIES
from router.policies.baselines import GreedyCost
from router.policies.eagle import Eagle
from router.policies.floors import Floors
from router.policies.primal_dual import PrimalDual
from router.policies.quality_floor import QualityFloor
from router.pricing.coverage import SHARED
from schemas.fields import INT64, Name
from schemas.invalid import Invalid, missing, wrong
from streams.config.connection import (
    SHORT,
    Broker,
    Part,
    RouterSettings,
    Seconds,
    Section,
    TopicSettings,
)
from streams.config.eagle import EagleSettings
from streams.config.judge import JudgeSettings
from streams.config.limits import Allowance, LimitSettings, TotalBudget, to_nano, to_whole
from streams.config.loader import ConfigError, read
from streams.config.models import ModelSettings
from streams.config.serve import ServeSettings
from streams.config.servers import check_address

__all__ = ["Broker", "Config", "ConfigError", "RouterSettings", "TopicSettings", "load"]

Positive = Annotated[int, Meta(ge=1, le=10**9)]


class TenantSettings(Section, frozen=True, kw_only=True):
    """One tenant. limits: units of currency by model, for each window of the model's budget; floor:
    the mean score that `quality-floor` keeps for it.
    """

    limits: dict[Name, Decimal] = field(default_factory=dict)
    floor: Part | None = None


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
        check_address("url", self.url)

    def arguments(self) -> dict[str, Any]:
        """What `make_embedder` takes beside the kind: the keys that are set."""
        names = ("model", "url", "dimension", "api_key_env")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class IndexSettings(Section, frozen=True, kw_only=True):
    """The folder that `sluice index build` wrote, and how it is searched."""

    path: Path = Path("index")
    kind: Literal["annoy", "exact"] = "annoy"
    trees: Annotated[int, Meta(ge=1, le=1000)] = 20
    search_k: Positive = 100


class PolicySettings(Section, frozen=True, kw_only=True):
    """How queries are decided. expected_queries: arrivals in all, or in the longest window; learned
    from the log where left out. floor: the mean score that `quality-floor` keeps. corrections:
    whether judged answers correct the estimates of `primal-dual`.
    """

    expected_queries: Positive | None = None
    name: str = "primal-dual"
    resolve_every: Positive = 250
    resolve_seconds: Seconds = 1.0
    window: Annotated[int, Meta(ge=10, le=100_000)] = 2000
    explore: Part = 0.0
    explore_money: Part = 1.0
    floor: Part = 0.8
    corrections: bool = False
    eagle: EagleSettings = field(default_factory=EagleSettings)
    seed: Annotated[int, Meta(ge=0, le=INT64)] = 0

    def __post_init__(self) -> None:
        _one_of("name", self.name, POLICIES)


class ColdStartSettings(Section, frozen=True, kw_only=True):
    """How models are explored of which little is known. outcomes: of a model, below which beliefs
    fill an index that is learned; explore: part of the queries that is drawn at random, at most;
    money: part of the money that draws may use.
    """

    outcomes: Annotated[int, Meta(ge=1, le=10_000)] = 30
    explore: Part = 0.3
    money: Part = 0.2


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


class FailoverSettings(Section, frozen=True, kw_only=True):
    """Queries without an answer. attempts: other models that one may go to whose call failed for
    the server's reasons; unbegun: all workers announce calls, and what none has begun goes again.
    """

    attempts: Annotated[int, Meta(ge=0, le=100)] = 0
    unbegun: bool = False


class ProcessSettings(Section, frozen=True, kw_only=True):
    """Routers and workers as processes. stop_seconds: from a signal to the end, at most."""

    stop_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 25.0


class Config(Section, frozen=True, kw_only=True):
    """A whole sluice.toml."""

    models: Annotated[dict[Name, ModelSettings], Meta(min_length=1, max_length=256)]
    policy: PolicySettings = field(default_factory=PolicySettings)
    budget: TotalBudget | None = None
    limits: dict[Name, LimitSettings] = field(default_factory=dict)
    tenants: dict[Name, TenantSettings] = field(default_factory=dict)
    broker: Broker = field(default_factory=Broker)
    topics: TopicSettings = field(default_factory=TopicSettings)
    embedder: EmbedderSettings = field(default_factory=EmbedderSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    cold_start: ColdStartSettings = field(default_factory=ColdStartSettings)
    newcomers: NewcomerSettings = field(default_factory=NewcomerSettings)
    reservation: ReservationSettings = field(default_factory=ReservationSettings)
    deferral: DeferralSettings = field(default_factory=DeferralSettings)
    failover: FailoverSettings = field(default_factory=FailoverSettings)
    router: RouterSettings = field(default_factory=RouterSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    process: ProcessSettings = field(default_factory=ProcessSettings)
    judge: JudgeSettings | None = None

    def __post_init__(self) -> None:
        endless = [name for name, one in self.allowances().items() if one.window == "none"]
        if self.policy.expected_queries is None and endless:
            rule = f"it is needed where a limit has no window, as that of {endless[0]}"
            raise missing("policy.expected_queries", rule)
        weighted = self.budget is not None and self.budget.split == "weighted"
        limits = self.limit_set()
        self._check_served()
        for name, model in self.models.items():
            key = f"models.{name}.budget"
            if weighted and model.budget is not None:
                raise wrong(key, {}, "it must be left out where [budget] splits a total")
            if not any(limit.covers(name) for limit in limits.limits):
                rule = "each model needs one, or a limit over it, or [budget] a total for all"
                raise missing(key, rule)
        for name, limit in self.limits.items():
            if name in self.models or name == SHARED:
                rule = "a limit must have another name than the models, and than 'total'"
                raise wrong(f"limits.{name}", name, rule)
            if not any(limit.limit(name).covers(model) for model in self.models):
                raise wrong(f"limits.{name}.models", limit.models, "no model is of that name")
        for tenant, settings in self.tenants.items():
            if settings.floor is not None and self.policy.name != QualityFloor.name:
                rule = f"only the policy {QualityFloor.name} keeps floors, not {self.policy.name}"
                raise wrong(f"tenants.{tenant}.floor", settings.floor, rule)
            for limited, amount in settings.limits.items():
                key = f"tenants.{tenant}.limits.{limited}"
                if limited not in limits.index:
                    known = ", ".join(limits.index)
                    rule = f"{key}: {limited!r} is no model or limit; there are: {known}"
                    raise Invalid("invalid_field", rule, key)
                to_whole(key, amount, limits.unit_of(limited))
        _check_policy(self.policy)
        _check_together(self)

    def catalog(self) -> ModelCatalog:
        """The models in the order of the file, priced in nano-units."""
        return ModelCatalog(model.priced(name) for name, model in self.models.items())

    def served(self) -> list[str]:
        """Names of what workers serve: each model, and after it each of its pools."""
        return [
            name
            for model, settings in self.models.items()
            for name in (model, *(served(model, pool) for pool in settings.pools))
        ]

    def _check_served(self) -> None:
        """Raise Invalid where a pool would have the topic of something else."""
        taken: set[str] = set()
        for name in self.served():
            if name in taken:
                rule = f"{name!r} names a model and a pool, or two pools: rename one"
                raise Invalid("invalid_field", f"models: {rule}", "models")
            taken.add(name)

    def floors(self) -> Floors | None:
        """The quality floors; None where the policy keeps none."""
        if self.policy.name != QualityFloor.name:
            return None
        own = {name: one.floor for name, one in self.tenants.items() if one.floor is not None}
        return Floors(self.policy.floor, own)

    def allowances(self) -> dict[str, Allowance]:
        """Windows and carry-over of every limit by name, in order: the models' own come first."""
        found: dict[str, Allowance] = {}
        for name, model in self.models.items():
            if model.budget is not None:
                found[name] = model.budget
            elif self.budget is not None and self.budget.split == "weighted":
                found[name] = self.budget
        if self.budget is not None and self.budget.split == "none":
            found[SHARED] = self.budget
        return found | self.limits

    def taken_names(self) -> frozenset[str]:
        """Names that no model added at run time can have: those of models and of limits."""
        return frozenset((*self.models, *self.allowances()))

    def limit_set(self) -> LimitSet:
        """What each limit covers, in the order of `allowances`."""
        return LimitSet(
            self.limits[name].limit(name)
            if name in self.limits
            else Limit.of_model(name)
            if name in self.models
            else Limit(name)
            for name in self.allowances()
        )

    def windows(self) -> dict[str, Windowing]:
        """How each limit's windows follow one another, by its name."""
        return {
            name: Windowing(one.window, one.time_zone, one.starts_at())
            for name, one in self.allowances().items()
        }

    def tenant_limits(self) -> dict[str, int]:
        """Amounts by account (`account_key`) of tenants that have limits, in the limits' units."""
        limits = self.limit_set()
        return {
            account_key(model, tenant): to_whole("limit", limit, limits.unit_of(model))
            for tenant, settings in self.tenants.items()
            for model, limit in settings.limits.items()
        }

    def amounts(self, score: Floats | None = None, cost: Floats | None = None) -> dict[str, int]:
        """Amounts by limit, each in its own unit (money in nano-units), in order.

        score: float64[M] mean scores of the history; cost: float64[M] mean costs in nano-units; a
        total is split by them where it is, and spent to the last nano-unit. Raises ValueError where
        they are needed and not given, or not finite.
        """
        own = {
            name: to_nano("limit", model.budget.limit)
            for name, model in self.models.items()
            if model.budget is not None
        }
        if self.budget is not None and self.budget.split == "weighted":
            own = self._split(to_nano("total", self.budget.total), score, cost)
        elif self.budget is not None:
            own[SHARED] = to_nano("total", self.budget.total)
        return own | {name: limit.whole() for name, limit in self.limits.items()}

    def _split(self, total: int, score: Floats | None, cost: Floats | None) -> dict[str, int]:
        """Return the parts of a total, nano-units by model."""
        if score is None or cost is None or not np.isfinite([score, cost]).all():
            raise ValueError("[budget] splits its total by a history with outcomes of each model")
        # A model that never scores, or costs nothing, still gets a share that is a number.
        weight = np.sqrt(np.maximum(score, 1e-6) / np.maximum(cost, 1e-3))
        parts = (np.cumsum(weight)[:-1] / weight.sum()).tolist()
        ends = [0, *(min(round(Decimal(part) * total), total) for part in parts), total]
        return dict(zip(self.models, (end - start for start, end in pairwise(ends)), strict=True))


def load(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Config:
    """Read a configuration: the file named, else by SLUICE_CONFIG, else ./sluice.toml.

    Raises ConfigError, which names the file, the key, what was found and the rule.
    """
    environment = os.environ if environment is None else environment
    file = Path(path or environment.get("SLUICE_CONFIG") or "sluice.toml")
    return read(Config, file, environment, SHORT)


def _one_of(key: str, word: str, known: Mapping[str, object]) -> None:
    if word not in known:
        rule = f"it must be one of: {', '.join(known)}"
        raise Invalid("invalid_field", f"{key}: found {word!r}, {rule}", key)


def _check_policy(policy: PolicySettings) -> None:
    """Raise Invalid for settings that the policy would leave unheeded."""
    usual = PolicySettings(expected_queries=policy.expected_queries)
    heeded = {
        "floor": QualityFloor.name,
        "eagle": Eagle.name,
        "corrections": PrimalDual.name,
    }
    for key, of in heeded.items():
        if policy.name != of and getattr(policy, key) != getattr(usual, key):
            rule = f"only the policy {of} heeds it, not {policy.name}"
            raise wrong(f"policy.{key}", getattr(policy, key), rule)
    if policy.explore and not policy.explore_money:
        rule = "no draw of policy.explore could be paid: it must be above 0, or explore 0"
        raise wrong("policy.explore_money", policy.explore_money, rule)


def _check_together(config: Config) -> None:
    """Raise Invalid where policy, limits, pools and reservations cannot work together."""
    policy, limits = config.policy, config.limit_set()
    money = [limit.unit == "currency" for limit in limits.limits]
    covers = limits.models(list(config.models))[money]
    kind = POLICIES[policy.name]
    if issubclass(kind, GreedyCost) and len(config.models) > 1 and (covers == covers[:, :1]).all():
        rule = (
            f"{policy.name} takes the model whose budget has most left, and here all draw on the "
            "same money: give models limits of their own, or take another policy"
        )
        raise Invalid("invalid_field", f"policy.name: {rule}", "policy.name")
    if kind is Eagle and policy.eagle.query_budget is None and not any(money):
        rule = "eagle spreads the money left over arrivals, and no limit counts money: set it"
        raise missing("policy.eagle.query_budget", rule)
    for model in config.catalog().models:
        whole = config.reservation.mode == "max" and model.max_output_tokens >= model.context
        if model.pools and whole:
            rule = (
                f"the longest holds {model.context} tokens, and max_output_tokens "
                f"({model.max_output_tokens}) is reserved for queries that set no max_tokens: "
                "none of these would fit. Lower it, or take [reservation] mode quantile"
            )
            key = f"models.{model.name}.pools"
            raise Invalid("invalid_field", f"{key}: {rule}", key)
