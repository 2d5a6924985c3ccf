"""kill -9 of routers and workers while queries go from a model that fails them to another one."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

from schemas import Receipt, Result
from schemas.result import FAILED
from streams.brokers.kafka import KafkaServer
from tests.support import invariants
from tests.support.chaos import RATE
from tests.support.invariants import Story
from tests.support.records import Record
from tests.support.scripted_model import Reply, ScriptedModel
from tests.support.system import System
from tests.support.two_models import PAIR, PRICES, SMALL, settings, spent, start_worker, two_models

KILLS = int(os.environ.get("SLUICE_KILLS", "1"))
"""Of routers, and as many of workers; `make chaos FAILOVER=1` takes ten."""
PLENTY = 100_000
"""Of each model, in units of currency: no query waits for money."""
ROUTERS, WORKERS = ("r0", "r1"), ("w0", "w1")


class Failing(ScriptedModel):
    """Fails every second query at the small model, and a few at both: many of these in a row would
    say that the server is away. A call that fails may have been billed."""

    def _answer(self, data: bytes) -> tuple[Reply, bytes]:
        reply, body = super()._answer(data)
        asked = self.asked[""][-1]
        part = crc32(asked["messages"][-1]["content"].encode()) % 48
        if part == 0 or (part % 2 == 0 and SMALL in str(asked["model"])):
            reply = Reply(b'{"error": {"message": "no power"}}', 502)
            body = reply.body
        return reply, body


@pytest.mark.kafka
def test_kills_while_queries_fail_over(
    kafka_broker: KafkaServer, tmp_path: Path, prefix: str
) -> None:
    """A query's second decision is taken after the first one's result, for another model, and is
    its last; each call is charged for itself, and the audit is equal."""
    server = Failing()
    keys = settings(server, retry_uncertain=0)
    keys["failover"] = {"attempts": 1}
    for model in PAIR:
        keys[f'models."{model}"'] |= {"budget.limit": str(PLENTY)}
    size = round(RATE * 120 * (KILLS + 1))
    random = Random(1)
    with (
        closing(server),
        two_models(
            kafka_broker,
            tmp_path,
            prefix,
            keys,
            size=size,
            past=500,
            model_partitions=2,
            store="rocksdb",
        ) as system,
    ):
        system.limits = [PLENTY * 10**9] * len(PAIR)
        for router, worker in zip(ROUTERS, WORKERS, strict=True):
            system.start_router(router)
            start_worker(system, worker)
        system.wait_members(len(ROUTERS))
        system.produce_meanwhile(rate=RATE)
        for number in range(2 * KILLS):
            fail_over(system, 10)
            name = random.choice(ROUTERS if number % 2 else WORKERS)
            system.kill(name)
            fail_over(system, 5)
            system.start_router(name) if name in ROUTERS else start_worker(system, name)
        fail_over(system, 10)
        system.enough()
        system.wait_settled()
        system.wait("the last word on each", lambda: last_words(system) == system.sent.keys())
        system.wait_settled()
        story = Story.of(system)
        check(story)
        money_is_exact(system, story)
        print(f"{2 * KILLS} kills, {len(system.sent)} queries, {len(moved(system))} failed over")


def fail_over(system: System, count: int) -> None:
    """Wait until so many more queries have gone to another model."""
    before = len(moved(system))
    system.wait("queries that fail over", lambda: len(moved(system)) >= before + count)


def moved(system: System) -> set[str]:
    """Ids of the queries that have been decided for a second model."""
    told = map(Record.json, system.read(system.topics.receipts))
    return {one["id"] for one in told if one["decision"] == "routed" and one.get("tried")}


def last_words(system: System) -> set[str]:
    """Ids of the queries that are answered, or have failed at both models."""
    results: dict[str, set[str]] = defaultdict(set)
    answered = set()
    for one in map(Record.json, system.read(system.topics.results)):
        results[one["id"]].add(one["model"])
        if one["status_code"] < FAILED:
            answered.add(one["id"])
    return answered | {id for id, models in results.items() if len(models) == len(PAIR)}


def check(story: Story) -> None:
    """Never at two models at a time, one end for each, and money exact."""
    receipts: dict[str, dict[str, Receipt]] = defaultdict(dict)
    for _, receipt in story.receipts:
        if receipt.decision == "routed":
            known = receipts[receipt.id].setdefault(receipt.decision_id, receipt)
            assert known.model == receipt.model, "a decision was changed"
    ends = first_results(story)
    assert receipts.keys() == story.sent.keys()
    for decisions in receipts.values():
        ends_once(sorted(decisions.values(), key=lambda each: each.decided_at), ends)
    invariants.within_limits(story)
    invariants.same_messages(story)


def money_is_exact(system: System, story: Story) -> None:
    """What is spent is what each decision's first result cost, and nothing is reserved."""
    costs: Counter[str] = Counter()
    for _, result in first_results(story).values():
        failed = result.status_code >= FAILED
        costs[result.model] += (result.cost or 0) if failed else PRICES[result.model]
    assert {model: spent(system, model) for model in PAIR} == costs
    accounts = (each for last in story.last_accounts().values() for each in last.values())
    assert not any(account.reserved for account in accounts)
    system.sluice("audit")


def first_results(story: Story) -> Mapping[str, tuple[float, Result]]:
    """When each decision's first result came (Unix seconds), and what it says."""
    found: dict[str, tuple[float, Result]] = {}
    for record, result in story.charged():
        found.setdefault(result.decision_id, (record.timestamp / 1000, result))
    return found


def ends_once(decisions: Sequence[Receipt], ends: Mapping[str, tuple[float, Result]]) -> None:
    """A query's decisions, in their order: at most two, each begun after the end of the one before,
    which had failed."""
    assert len({each.model for each in decisions}) == len(decisions) <= len(PAIR)
    for before, after in pairwise(decisions):
        ended_at, result = ends[before.decision_id]
        assert result.status_code >= FAILED
        assert ended_at <= after.decided_at, "it was in flight at two models"
        assert after.tried == [before.model]
    _, last = ends[decisions[-1].decision_id]
    assert last.status_code < FAILED or len(decisions) == len(PAIR), "it has not ended"
