"""What reports tell of the models' servers, and prices hand on: lengths of prompts, busy pools."""

from __future__ import annotations

import logging
from typing import Any

from router.estimation.image_tokens import ImageMaxima
from router.estimation.token_ratio import TokenRatios, category
from router.models.busy_pools import BusyPools
from schemas import ShareReport

logger = logging.getLogger(__name__)


class Observations:
    """What a controller has observed; the counterpart of `Observed`, by which routers decide."""

    def __init__(
        self,
        ratios: TokenRatios | None = None,
        images: ImageMaxima | None = None,
        pools: BusyPools | None = None,
    ) -> None:
        """Args:
        ratios: Bytes per token as they were published last.
        images: Tokens of images, the same.
        pools: Busy pools, the same.
        """
        self._ratios = ratios or TokenRatios()
        self._images = images or ImageMaxima()
        self._pools = pools or BusyPools()

    def learn(self, report: ShareReport) -> None:
        """Learn what a report tells that was not seen before."""
        for use in report.token_uses:
            self._ratios.observe(category(use.model, use.text), use.size, use.tokens)
        for image in report.image_uses:
            if self._images.observe(image.model, image.declared, image.tokens):
                logger.warning(
                    "%s: an image took %d prompt tokens, its image_tokens are %d: from now on more "
                    "is reserved for each; raise image_tokens",
                    image.model,
                    image.tokens,
                    image.declared,
                )
        self._pools.observe(report.partition, report.in_flight)

    def judge_pools(self, partitions: int) -> bool:
        """Decide which pools are busy (`BusyPools.judge`), and return whether others are."""
        if changed := self._pools.judge(partitions):
            logger.info("busy pools: %s", ", ".join(sorted(self._pools.busy)) or "none")
        return changed

    def take_news(self) -> bool:
        """Return whether anything to be published is other than at the last call, or at first."""
        news = [one.take_news() for one in (self._ratios, self._images, self._pools)]
        return any(news)

    def snapshot(self) -> dict[str, Any]:
        """Return the fields of a record of prices."""
        return {
            "token_ratios": self._ratios.snapshot(),
            "image_tokens": self._images.snapshot(),
            "busy_pools": sorted(self._pools.busy),
        }
