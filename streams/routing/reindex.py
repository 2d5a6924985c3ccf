"""A new index at run time: detected, loaded beside the hot path, and handed over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Self

from router.estimation.index.manifest import older_folder, read_manifest
from router.policies.base import Policy
from streams.config.settings import Config
from streams.routing.build import Parts, build
from streams.routing.prior import exploration

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


class Indexes:
    """The parts of a router on any version of its index that is kept."""

    def __init__(self, now: Parts, older: Callable[[str], Parts | None]) -> None:
        """Args:
        now: On the version in place.
        older: Loads another version; returns None for one that is not kept.
        """
        self.now = now
        self._older = older
        self._known: dict[str | None, Parts | None] = {now.scorer.index: now}

    @classmethod
    def kept(cls, config: Config, now: Parts) -> Self:
        """Return those that `sluice index build` has kept beside the configured folder."""

        def older(version: str) -> Parts | None:
            folder = older_folder(config.index.path, version)
            return build(config, now.scorer.embedder, folder) if folder.is_dir() else None

        return cls(now, older)

    def at(self, version: str | None) -> Parts | None:
        """Return the parts on a version, None where it is not kept.

        Receipts without a version (of older routers) mean the version in place.
        """
        if version is None:
            return self.now
        if version not in self._known:
            self._known[version] = self._older(version)
        return self._known[version]


async def follow_index(config: Config, parts: Parts, take: Callable[[Parts, Policy], None]) -> None:
    """Watch the configured folder; hand over parts and a policy of theirs for each new index in it.

    One that does not fit is refused with a line in the log; routing continues with the present one.
    """
    loop, seen, logged = asyncio.get_running_loop(), parts.scorer.index, ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            version = read_manifest(config.index.path).version
            if version == seen:
                continue
            seen = version
            taken = await loop.run_in_executor(None, build, config, parts.scorer.embedder)
            policy = await loop.run_in_executor(None, taken.new_policy)
        except (ValueError, OSError) as error:  # IndexRefused, or it is being replaced right now
            if str(error) != logged:
                logger.error("routing goes on with the index there was: %s", error)
            logged = str(error)
            continue
        seen = taken.scorer.index
        take(taken, policy)
        logger.info("index %s: %d queries of the past", seen, len(taken.scorer.estimator.history))
        if taken.explored:
            logger.warning(exploration(config))
