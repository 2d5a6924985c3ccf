"""What the controller has observed of the models' servers, as it travels with prices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

from router.estimation.token_ratio import in_use
from schemas import Prices
from schemas.price import ImageTokens


class Observed(NamedTuple):
    """What decisions go by, beside the state of the policy.

    Attributes:
        ratios: Bytes per prompt token, by model and kind of text (`token_ratio.category`).
        images: Tokens of an image, by model, where they are more than it declares.
        busy: The pools that requests spill from, as `pools.served` names them.
    """

    ratios: Mapping[str, float] = MappingProxyType({})
    images: Mapping[str, ImageTokens] = MappingProxyType({})
    busy: Collection[str] = frozenset()

    @classmethod
    def of(cls, prices: Prices) -> Self:
        """Return what travels with a record of prices."""
        return cls(in_use(prices.token_ratios), prices.image_tokens, frozenset(prices.busy_pools))
