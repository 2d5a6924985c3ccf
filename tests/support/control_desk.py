"""A controller on two partitions, whose reports and clock a test hands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from router.arrays import Bools, Floats
from router.budget.horizon import Horizon
from router.budget.limits import LimitSet
from router.budget.shares import ShareAllocator
from router.budget.windows import Windowing
from router.policies.floors import Floor
from router.policies.primal_dual import PrimalDual
from schemas import Prices, ShareGrant
from schemas.wire import decode
from streams.control.controller import Controller
from streams.control.observations import Observations
from streams.state.ownership import Superseded
from tests.support.recorded import FLEET, TOPICS, RecordedOutbox, record

LIMITS = {"small": 1_000, "large": 500}
QUERIES = 100
SAMPLE: dict[str, Any] = {
    "columns": ["small", "large"],
    "quality": [[0.2, 0.9], [0.3, 0.8]],
    "cost": [[10, 40], [12, 50]],
}


class Policy(PrimalDual):
    """The real one, which also says what it was shown."""

    def __init__(self, corrected: bool = False) -> None:
        super().__init__(FLEET, every=1, corrected=corrected)
        self.seen: list[tuple[list[list[float]], list[list[float]]]] = []
        self.floors: list[Sequence[Floor] | None] = []
        self.games: list[tuple[str, Mapping[str, float]]] = []

    def observe(
        self,
        quality: Floats,
        cost: Floats,
        *others: Floats,
        queries: Bools | None = None,
        floors: Sequence[Floor] | None = None,
    ) -> None:
        self.seen.append((quality.tolist(), cost.tolist()))
        self.floors.append(floors)
        super().observe(quality, cost, *others, queries=queries, floors=floors)

    def learn(self, model: str, results: Mapping[str, float]) -> None:
        self.games.append((model, results))


class Desk:
    """A controller of two partitions; its clock goes on by a second with each chunk."""

    def __init__(
        self,
        saved: dict[str, Any] | None = None,
        every: float = 0.0,
        corrected: bool = False,
        observations: Observations | None = None,
    ) -> None:
        self.outbox, self.policy, self.now = RecordedOutbox(), Policy(corrected), 1000.0
        self.superseded = False
        allocator = ShareAllocator(2, LIMITS)
        if saved is not None:
            allocator.restore(saved)
        horizon = Horizon(QUERIES, {name: Windowing() for name in LIMITS})
        self.controller = Controller(
            FLEET,
            LimitSet.per_model(FLEET.names),
            self.policy,
            allocator,
            self._save,
            self._confirm,
            horizon,
            self.outbox,
            TOPICS,
            every,
            lambda: self.now,
            observations,
        )

    async def _save(self, accounts: dict[str, Any]) -> None:
        batch = self.outbox.batch()
        batch.send(TOPICS.controller_changelog, orjson.dumps(accounts))
        await batch.delivered()

    async def _confirm(self) -> None:
        if self.superseded:
            raise Superseded("by a test")

    async def follow(self, *values: bytes) -> None:
        """Hand over one chunk of reports; what left before is forgotten."""
        self.outbox.sent.clear()
        self.now += 1.0
        records = [record(i, value, TOPICS.share_reports) for i, value in enumerate(values)]
        await self.controller.follow(records)

    def grants(self) -> dict[int, ShareGrant]:
        """The grants of the last chunk, by partition."""
        found = self.outbox.of(TOPICS.share_grants)
        grants = {sent.partition: decode(ShareGrant, sent.value) for sent in found}
        assert len(grants) == len(found)
        return grants

    def prices(self) -> list[Prices]:
        """The prices of the last chunk."""
        return [decode(Prices, sent.value) for sent in self.outbox.of(TOPICS.prices)]

    def saved(self) -> Any:
        """The last accounts in the changelog."""
        return self.outbox.of(TOPICS.controller_changelog)[-1].json()


def report(
    partition: int,
    sequence: int,
    granted: int = 0,
    share: tuple[int, int] = (100, 100),
    use: dict[str, Any] | None = None,
    **fields: Any,
) -> bytes:
    """A report; `use` is said of the model "small"."""
    models: dict[str, dict[str, Any]] = {
        name: {"share": own, "reserved": 0, "spent": 0}
        for name, own in zip(LIMITS, share, strict=True)
    }
    models["small"] |= use or {}
    return orjson.dumps(
        {
            "partition": partition,
            "sequence": sequence,
            "arrivals": 0,
            "granted": granted,
            "models": models,
            **fields,
        }
    )
