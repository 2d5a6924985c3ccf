"""Sections of sluice.toml about models and the pools of their servers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import Meta, field, structs

from router.models.catalog import Model
from router.models.pools import Pool
from schemas.control import check_prices
from schemas.fields import MediaTokens, Name, Tokens
from schemas.invalid import wrong
from streams.config.connection import Part, Seconds, Section
from streams.config.limits import ModelBudget, to_nano
from streams.config.servers import check_address, check_headers

Calls = Annotated[int, Meta(ge=1, le=10_000)]
Capacity = Annotated[int, Meta(ge=1, le=10_000_000)]


class PoolSettings(Section, frozen=True, kw_only=True):
    """One pool of a model's servers. What is left out is as the model has it.

    capacity: queries that all its workers together take at a time; without it, it never spills.
    """

    context: Tokens
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    base_url: str | None = None
    concurrency: Calls | None = None
    capacity: Capacity | None = None

    def __post_init__(self) -> None:
        check_address("base_url", self.base_url)
        for key in ("input_price", "output_price"):
            if (price := getattr(self, key)) is not None:
                to_nano(key, price)

    def priced(self, name: str, input_price: int, output_price: int) -> Pool:
        """This pool in a catalog. input_price, output_price: the model's, nano-units a million."""
        own = self.input_price, self.output_price
        return Pool(
            name,
            self.context,
            input_price if own[0] is None else to_nano("input_price", own[0]),
            output_price if own[1] is None else to_nano("output_price", own[1]),
            self.capacity,
        )


class ModelSettings(Section, frozen=True, kw_only=True):
    """One model. Prices: units of currency per million tokens; name: as its server calls it.

    image_tokens, audio_tokens: reserved for each such part; it takes none where they are left out.
    allow_fields: of a body, though they may change the price. retry_uncertain: calls beyond the
    first that may have been billed without an answer. strength: score that it is believed to reach
    before there is a history. pools: of its servers, with contexts of their own.
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
    concurrency: Calls = 16
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    allow_fields: list[str] = field(default_factory=list)
    extra_body: dict[str, Any] = field(default_factory=dict)
    extra_headers: dict[str, str] = field(default_factory=dict)
    retry_uncertain: Annotated[int, Meta(ge=0, le=10)] = 0
    strength: Part | None = None
    pools: dict[Name, PoolSettings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_prices(
            to_nano("input_price", self.input_price),
            to_nano("output_price", self.output_price),
            self.max_output_tokens,
            self.context,
            self.cached_price(),
        )
        check_address("base_url", self.base_url)
        check_headers("extra_headers", self.extra_headers)
        contexts: dict[int, str] = {}
        for name, pool in self.pools.items():
            if pool.context > self.context:
                rule = "it must be at most the model's context"
                raise wrong(f"pools.{name}.context", pool.context, rule)
            if (other := contexts.setdefault(pool.context, name)) != name:
                raise wrong(f"pools.{name}.context", pool.context, f"{other} has the same")
            for price in ("input_price", "output_price"):
                own = getattr(pool, price)
                if own is not None and own > getattr(self, price):
                    raise wrong(f"pools.{name}.{price}", own, "it must be at most the model's")

    def __repr__(self) -> str:
        """Without values of headers: they may be secrets."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        shown["extra_headers"] = sorted(self.extra_headers)
        return f"ModelSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def cached_price(self) -> int | None:
        """Nano-units per million prompt tokens that come from a cache."""
        price = self.cached_input_price
        return None if price is None else to_nano("cached_input_price", price)

    def priced(self, name: str) -> Model:
        """This model in a catalog, under a name; its context is that of the longest pool."""
        input_price = to_nano("input_price", self.input_price)
        output_price = to_nano("output_price", self.output_price)
        pools = [pool.priced(key, input_price, output_price) for key, pool in self.pools.items()]
        pools.sort(key=lambda pool: pool.context)
        return Model(
            name,
            input_price,
            output_price,
            self.max_output_tokens,
            pools[-1].context if pools else self.context,
            self.cached_price(),
            self.image_tokens,
            self.audio_tokens,
            frozenset(self.allow_fields),
            self.retry_uncertain,
            tuple(pools),
        )

    def of_pool(self, name: str) -> ModelSettings:
        """What a worker of one of its pools goes by."""
        pool = self.pools[name]
        return structs.replace(
            self,
            base_url=pool.base_url or self.base_url,
            concurrency=pool.concurrency or self.concurrency,
        )
