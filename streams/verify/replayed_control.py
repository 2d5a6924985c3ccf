"""Prices and commands during a replay, as they stood at any earlier moment."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from router.estimation.observed import Observed
from router.estimation.scorer import QueryScorer
from router.models.catalog import ModelCatalog
from router.policies.base import Policy
from schemas import Invalid, Prices, Receipt
from schemas.wire import decode
from streams.control.registry import Registry
from streams.kafka.logs import Record
from streams.routing.build import Parts
from streams.routing.decider import Decider


class PriceVersions:
    """Policies at every version of their prices that the log still holds."""

    def __init__(self, new_policy: Callable[[], Policy], records: Iterable[Record]) -> None:
        """Args:
        new_policy: Makes a policy that takes over prices.
        records: Of the topic `prices`, accepted as a router accepts them.
        """
        self._first: dict[str | None, Policy] = {}
        self._other: dict[str | None, Policy] = {}
        known = new_policy()
        self._records: dict[int, bytes] = {}
        newest = 0
        for record in records:
            try:
                prices = decode(Prices, record.value)
                if prices.policy != known.name or prices.version <= newest:
                    continue
                known.restore(prices.state)
            except (Invalid, ValueError):
                continue
            newest = prices.version
            self._records[newest] = record.value or b""

    def observed(self, version: int) -> Observed:
        """Return what was published of the models' servers with the prices of a version."""
        if version not in self._records:
            return Observed()
        return Observed.of(decode(Prices, self._records[version]))

    def at(self, version: int, parts: Parts) -> Policy | None:
        """Return the policy with the prices of a version, valid until the next call.

        Version 0 is made from the history of `parts`, which also say how much is explored.

        Returns:
            None where the prices have been compacted away.
        """
        index = parts.scorer.index
        if version and version not in self._records:
            return None
        made = self._other if version else self._first
        if index not in made:
            made[index] = parts.new_policy()
        if version:
            made[index].restore(decode(Prices, self._records[version]).state)
        return made[index]


class ReplayedControl:
    """Follows the commands, and makes the `Decider` of each chunk."""

    def __init__(
        self,
        known: ModelCatalog,
        taken: Collection[str],
        commands: Sequence[Record],
        complete_since: float = math.inf,
    ) -> None:
        """Args:
        known: The configured models.
        taken: Names that no model that is added can have.
        commands: All records of `control`.
        complete_since: Unix seconds; younger commands have not been compacted.
        """
        self.complete = known.extended(Registry.of(commands, models=taken).newcomers())
        """The configured models and all that commands add."""
        self._registry = Registry(models=taken)
        self._known = len(known)
        self._commands = deque(commands)
        self._followed: list[int] = []
        self._complete_since = complete_since * 1000
        self._scorers: dict[str | None, QueryScorer] = {}

    def follow(self, version: int) -> Iterable[str]:
        """Apply the commands that were known at a version; return the models added by then."""
        while self._commands and self._commands[0].offset < version:
            command = self._commands.popleft()
            self._registry.read(command.key, command.value, command.offset)
            self._followed.append(command.offset)
        return self._registry.added

    def is_complete(self, version: int) -> bool:
        """Return whether all commands up to a version are in the log.

        Compaction may have removed one in favour of another that came later, which is old then.
        """
        if len(self._followed) == version:
            return True
        if self._commands:
            return self._commands[0].timestamp >= self._complete_since
        return bool(self._followed) and self._followed[-1] == version - 1

    def decider(self, parts: Parts, policy: Policy, observed: Observed, first: Receipt) -> Decider:
        """Return what has decided a chunk.

        Args:
            parts: On the index of the chunk's receipts.
            policy: With the prices of the chunk's receipts.
            observed: That came with these.
            first: The chunk's first receipt.
        """
        scorer = self._scorer(parts).following(policy.snapshot(), observed)
        return Decider(
            scorer=scorer,
            policy=parts.with_trials(policy, scorer.catalog),
            limits=parts.limits.extended(self._registry.added),
            open=self._registry.open(scorer.catalog.names),
            price_version=first.price_version,
            control_version=first.control_version,
            floors=self._registry.floors(parts.floors),
        )

    def _scorer(self, parts: Parts) -> QueryScorer:
        """Return the scorer on an index, with the models that commands have added until now."""
        scorer = self._scorers.get(parts.scorer.index, parts.scorer)
        if len(scorer.catalog) < self._known + len(self._registry.added):
            scorer = parts.scorer.with_newcomers(self._registry.newcomers())
        self._scorers[parts.scorer.index] = scorer
        return scorer
