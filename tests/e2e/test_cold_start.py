"""From nothing to learned on a running deployment: believe, explore, learn, do better."""

from __future__ import annotations

import shutil
from pathlib import Path

from router.estimation.index.manifest import read_manifest
from router.evaluation.workload import synthesize
from schemas import Receipt
from schemas.wire import decode
from streams.brokers import Broker
from tests.support.command import run
from tests.support.system import MODELS, System

SIZE = 400
EXPLORE = 0.3
"""Part of the queries that is drawn while models are little known, at most: the default."""


def test_a_wrong_belief_is_learned_away(broker: Broker, tmp_path: Path, prefix: str) -> None:
    """The configuration says that the poorest model is the strongest. At first its word counts, and
    no more queries are explored than may be; what came of them is enough to send the other half of
    the queries to better models."""
    means = dict(
        zip(MODELS, synthesize(SIZE, 0).with_models(MODELS).scores.mean(axis=0), strict=True)
    )
    ranked = sorted(MODELS, key=means.__getitem__)
    strengths = {name: {"strength": 0.9 - 0.3 * place} for place, name in enumerate(ranked)}
    settings = {f'models."{name}"': keys for name, keys in strengths.items()}
    with System(
        broker, tmp_path, prefix, size=SIZE, past=100, plenty=100.0, settings=settings
    ) as system:
        shutil.rmtree(tmp_path / "index")
        router = system.start_router("r0")
        system.answer()
        system.produce(0, SIZE // 2)
        system.wait_settled()
        learn = ("learn", "--log", tmp_path / "log.jsonl.gz", "--config", system.config)
        code, stdout, stderr = run(*learn, broker=broker.servers)
        assert code == 0, stdout + stderr
        learned = read_manifest(tmp_path / "index").version
        system.wait("the learned index", lambda: f"index {learned}" in router.log.read_text())
        system.produce(SIZE // 2)
        system.wait_settled()
        receipts = [decode(Receipt, one.value) for one in system.read(system.topics.receipts)]
        routed = [each for each in receipts if each.decision == "routed"]
    first = [each for each in routed if each.index != learned]
    later = [each for each in routed if each.index == learned]
    explored = [each for each in first if each.reason == "explore"]
    assert 0 < len(explored) <= 1.5 * EXPLORE * len(first)
    believed = [each.model for each in first if each.reason != "explore"]
    assert believed.count(ranked[0]) > len(believed) / 2
    assert score(system, later) > score(system, first) + 0.1


def score(system: System, receipts: list[Receipt]) -> float:
    """The mean that decisions have earned."""
    outcomes = system.outcomes()
    return sum(outcomes[each.id][each.model or ""][0] for each in receipts) / len(receipts)
