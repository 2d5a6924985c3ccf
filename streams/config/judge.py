"""The section [judge] of sluice.toml: the model that scores answers."""

from __future__ import annotations

from decimal import Decimal

from router.models.catalog import Model
from schemas.fields import Name
from schemas.invalid import missing, wrong
from streams.config.connection import Seconds, Section
from streams.config.limits import to_nano
from streams.config.servers import check_address


class JudgeSettings(Section, frozen=True, kw_only=True):
    """Who judges, and for how much. model: one of [models], asked through routers and limits; or
    base_url and name: of a server of its own, with its prices. budget: that one run may spend;
    tenant: on whose behalf a model of the deployment is asked; wait_seconds: for money, at most.
    """

    model: Name | None = None
    base_url: str | None = None
    name: Name | None = None
    api_key_env: str | None = None
    input_price: Decimal = Decimal(0)
    output_price: Decimal = Decimal(0)
    timeout: Seconds = 120.0
    budget: Decimal = Decimal(1)
    tenant: Name | None = None
    wait_seconds: Seconds = 3600.0

    def __post_init__(self) -> None:
        if (self.model is None) == (self.base_url is None):
            rule = "either it or base_url must be given"
            raise missing("model", rule) if self.model is None else wrong("model", self.model, rule)
        if self.base_url is not None and self.name is None:
            raise missing("name", "base_url needs it: what the server calls the model")
        check_address("base_url", self.base_url)
        for key in ("input_price", "output_price", "budget"):
            to_nano(key, getattr(self, key))

    def priced(self) -> Model:
        """The model at a server of its own."""
        return Model(
            self.name or "",
            to_nano("input_price", self.input_price),
            to_nano("output_price", self.output_price),
        )
