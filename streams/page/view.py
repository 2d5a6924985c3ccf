"""What receipts, results, reports, prices and commands add up to, as the page shows it.

Its memory is bounded, whatever the deployment does; it begins with the last minutes of the log.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from router.budget.charges import cost_of
from router.budget.ledger import account_words, owner
from router.budget.windows import Calendar
from schemas import Prices, Receipt, Result, ShareReport
from schemas.fields import NANO
from schemas.result import DUPLICATE, FAILED
from streams.config.settings import Config
from streams.control.registry import Registry
from streams.page import floors, pools
from streams.page.explained import explained
from streams.page.models import ModelWatch
from streams.page.timeline import Timeline

OPEN = 50_000
"""Decisions without a result that are remembered."""
LAST = 60
"""Decisions that are shown."""
VERSIONS = 50
"""Versions of prices that are kept for explanations."""


class View:
    """The state of a deployment. All moments are Unix seconds.

    Size: one figure of the page is one attribute.
    """

    def __init__(self, config: Config, limits: Mapping[str, int]) -> None:
        """limits: the configured ones, each in its own unit (money in nano-units)."""
        self.timeline = Timeline()
        self.registry = Registry(config.tenant_limits(), config.taken_names())
        self.models = {name: ModelWatch() for name in config.models}
        self._configured = dict(limits) | config.tenant_limits()
        self._units = {limit.name: limit.unit for limit in config.limit_set().limits}
        self._calendar = Calendar(config.windows())
        self._floors = config.floors()
        self._catalog = config.catalog()
        self._early: OrderedDict[str, tuple[Result, float]] = OrderedDict()
        self._open: OrderedDict[str, Receipt] = OrderedDict()
        self._last: deque[dict[str, Any]] = deque(maxlen=LAST)
        self._by_decision: dict[str, tuple[dict[str, Any], Receipt]] = {}
        self._reports: dict[int, tuple[float, ShareReport]] = {}
        self._prices: OrderedDict[int, Mapping[str, float]] = OrderedDict()
        self._busy_pools: list[str] = []
        self._deferred: OrderedDict[str, tuple[float, str, tuple[str, ...]]] = OrderedDict()
        self.decided: dict[int, int] = {}
        """By partition, the last offset of `queries` that was decided."""

    # One record each

    def take_receipt(self, receipt: Receipt) -> None:
        """Take in a decision."""
        if receipt.source.topic.endswith("queries"):
            place = receipt.source.partition
            self.decided[place] = max(self.decided.get(place, -1), receipt.source.offset)
        step = self.timeline.at(receipt.decided_at)
        kind = receipt.model if receipt.model is not None else receipt.decision
        step.add(f"flow:{kind}")
        step.add(f"reason:{receipt.reason}")
        floors.count(step, receipt)
        self._wait(receipt)
        for name, quality in receipt.quality.items():
            self._watch(name).estimated(quality, receipt.cost.get(name, 0))
        if receipt.model is not None:
            self._estimate(receipt)
            self._open[receipt.decision_id] = receipt
            self._watch(receipt.model).sent(receipt.decided_at)
            while len(self._open) > OPEN:
                _, dropped = self._open.popitem(last=False)
                self._watch(dropped.model or "").forgotten()
        self._show(receipt)
        if (early := self._early.pop(receipt.decision_id, None)) is not None:
            self.take_result(*early)

    def take_result(self, result: Result, moment: float) -> None:
        """Take in an answer. moment: of its record."""
        if result.error is not None and result.error.code == DUPLICATE:
            return
        receipt = self._open.pop(result.decision_id, None)
        if receipt is None:  # its receipt comes later, or was before the page began
            self._early[result.decision_id] = (structs.replace(result, response=None), moment)
            if len(self._early) > OPEN:
                self._early.popitem(last=False)
            return
        ok = result.status_code < FAILED
        step, cost = self.timeline.at(moment), cost_of(result, self._catalog, receipt.reserved)
        step.add("answered" if ok else "failed")
        step.add(f"spent:{result.model}", cost / NANO)
        step.observe("answer", max(moment - receipt.decided_at, 0.0))
        if result.score is not None:
            step.add("judged", result.score)
            step.add("judged cost", cost / NANO)
        why = result.error.message if result.error is not None else ""
        self._watch(result.model).answered(moment, ok, why[:200])
        if result.decision_id in self._by_decision:
            shown, of = self._by_decision[result.decision_id]
            shown.update(explained(of, result, self._prices.get(of.price_version), cost))

    def take_report(self, report: ShareReport, moment: float) -> None:
        """Take in what a partition tells the controller."""
        self._reports[report.partition] = (moment, report)
        step = self.timeline.at(moment)
        for name, (limit, spent, reserved) in self._accounts().items():
            if limit:
                step.states[f"left:{name}"] = 1 - (spent + reserved) / limit
        step.states["waiting"] = sum(one.waiting for _, one in self._reports.values())

    def take_prices(self, prices: Prices) -> None:
        """Take in a version of the prices."""
        self._busy_pools = prices.busy_pools
        held = prices.state.get("prices")
        if not isinstance(held, dict):
            return
        self._prices[prices.version] = held
        while len(self._prices) > VERSIONS:
            self._prices.popitem(last=False)
        step = self.timeline.at(prices.solved_at)
        for name, price in held.items():
            step.states[f"price:{name}"] = float(price) * NANO

    def take_command(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """Take in an admin command."""
        self.registry.read(key, value, offset)
        for name in self.registry.added:
            self._watch(name)
        added = [m for m in self.registry.newcomers() if m.name not in self._catalog.index]
        self._catalog = self._catalog.extended(added)

    # What is shown

    def state(self, now: float) -> dict[str, Any]:
        """Return what holds now, for JSON; amounts of money in units of currency."""
        prices = next(reversed(self._prices.values()), {})
        recent = self.timeline.recent(now - 60)
        return {
            "models": [
                {
                    "name": name,
                    "status": self.registry.status(name),
                    "price": float(prices[name]) * NANO if name in prices else None,
                    **watch.state(now),
                }
                for name, watch in self.models.items()
            ],
            "limits": self._limits(now, prices),
            "floors": floors.shown(self.registry.floors(self._floors), recent),
            "pools": pools.shown(
                self._catalog.models,
                (report.in_flight for _, report in self._reports.values()),
                self._busy_pools,
            ),
            "waits": self._waits(now),
            "owned": sum(now - moment < 5 for moment, _ in self._reports.values()),
            "decisions": list(reversed(self._last)),
            "minute": recent.values(),
        }

    def _accounts(self) -> dict[str, tuple[int, int, int]]:
        """Limit, spent and reserved of each account, over all partitions, in its own unit."""
        sums: dict[str, tuple[int, int, int]] = {}
        limits = self.registry.limits(self._configured)
        for _, report in self._reports.values():
            for name, use in report.models.items():
                _, spent, reserved = sums.get(name, (0, 0, 0))
                sums[name] = (limits.get(name, 0), spent + use.spent, reserved + use.reserved)
        return {name: sums.get(name, (limit, 0, 0)) for name, limit in limits.items()} | {
            name: each for name, each in sums.items() if name in limits
        }

    def _limits(self, now: float, prices: Mapping[str, float]) -> list[dict[str, Any]]:
        found, begins = [], self._begins()
        ends = self._calendar.ends(now)
        for name, (limit, spent, reserved) in self._accounts().items():
            model, _ = owner(name)
            unit = self._units.get(model, "currency")
            scale = NANO if unit == "currency" else 1
            found.append(
                {
                    "name": account_words(name),
                    "key": name,
                    "unit": unit,
                    "limit": limit / scale,
                    "spent": spent / scale,
                    "reserved": reserved / scale,
                    "begins": begins.get(name) or None,
                    "ends": ends.get(model),
                    "price": float(prices[name]) * scale if name in prices else None,
                }
            )
        return found

    def _begins(self) -> dict[str, int]:
        return {
            name: use.window
            for _, report in self._reports.values()
            for name, use in report.models.items()
        }

    def _waits(self, now: float) -> dict[str, Any]:
        reasons = Counter(reason for _, reason, _ in self._deferred.values())
        short = Counter(name for _, _, names in self._deferred.values() for name in names)
        oldest = min((moment for moment, _, _ in self._deferred.values()), default=None)
        return {
            # Reports are a moment old; receipts may have begun after the first that waits.
            "deferred": max(
                sum(one.waiting for _, one in self._reports.values()), len(self._deferred)
            ),
            "reasons": dict(reasons),
            "short_of": {account_words(name): count for name, count in short.most_common(5)},
            "oldest": None if oldest is None else now - oldest,
            "open": len(self._open),
        }

    # Parts of a decision

    def _watch(self, model: str) -> ModelWatch:
        return self.models.setdefault(model, ModelWatch())

    def _wait(self, receipt: Receipt) -> None:
        """Remember why a query waits; forget it once it does not."""
        before = self._deferred.pop(receipt.id, None)
        if receipt.decision == "deferred":
            since = receipt.decided_at if before is None else before[0]
            self._deferred[receipt.id] = (since, receipt.reason, tuple(receipt.short_of))
            while len(self._deferred) > OPEN:
                self._deferred.popitem(last=False)

    def _estimate(self, receipt: Receipt) -> None:
        """Add the estimates of what was chosen, and what the same money buys without choosing.

        That is the static mix: queries for each model drawn at random, as many as this money pays
        for at the model's mean cost, each worth its mean quality.
        """
        model = receipt.model or ""
        cost = receipt.cost.get(model)
        if not cost or model not in receipt.quality:
            return
        step, watch = self.timeline.at(receipt.decided_at), self._watch(model)
        step.add("estimated", receipt.quality[model])
        step.add("estimated cost", cost / NANO)
        step.add("static", watch.quality_for(cost))

    def _show(self, receipt: Receipt) -> None:
        shown = explained(receipt, None, self._prices.get(receipt.price_version), None)
        if len(self._last) == LAST:
            self._by_decision.pop(self._last[0]["decision_id"], None)
        self._last.append(shown)
        self._by_decision[receipt.decision_id] = (shown, receipt)
