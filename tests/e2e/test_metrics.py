"""Running routers and workers answer Prometheus with what they have done."""

from __future__ import annotations

from pathlib import Path

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import free_port
from tests.support.scrape import samples
from tests.support.system import System


def scraped(at: str) -> dict[str, float]:
    """Sums of all samples by name and, where they have one, kind of decision or status."""
    totals: dict[str, float] = {}
    for sample in samples(at):
        label = sample.labels.get("decision") or sample.labels.get("status", "")
        name = f"{sample.name} {label}".strip()
        totals[name] = totals.get(name, 0.0) + sample.value
    return totals


def test_metrics(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """Decisions, results and money are those of the topics; only loopback is asked."""
    router, worker = (f"127.0.0.1:{free_port()}" for _ in range(2))
    # Nothing waits for money: a pass would decide more between two readings.
    with System(embedded_broker, tmp_path, prefix, size=100, plenty=100.0) as system:
        options = ("--config", str(system.config), "--metrics")
        system.run("r0", "route", *options, router, "--name", "r0")
        system.run("w0", "work", *system.models, *options, worker, "--dataset", str(system.dataset))
        system.send(system.topics.queries, b"no json")
        system.produce()
        system.wait_settled()
        routed = {r.key for name in system.models for r in system.read(system.topics.routed(name))}
        system.wait(
            "all results to be counted",
            lambda: scraped(router)["sluice_results_total ok"] == len(routed),
        )
        found = scraped(router)
        assert found["sluice_route_decisions_total routed"] == len(routed)
        assert found["sluice_route_decisions_total rejected"] == 1
        assert found["sluice_route_latency_seconds_count"] == 101
        assert found["sluice_partitions"] == system.partitions
        assert found["sluice_topic_partitions"] == system.partitions
        assert found["sluice_route_backlog"] == 0
        assert found["sluice_budget_reserved"] == 0
        assert found["sluice_budget_limit"] >= found["sluice_budget_share"] > 0
        spent = sum(a.spent for state in system.states().values() for a in state.accounts.values())
        assert round(found["sluice_budget_spent"] * 1e9) == spent
        answers = scraped(worker)
        assert answers["sluice_work_results_total ok"] == len(routed)
        assert answers["sluice_work_unanswered"] == 0
        assert round(answers["sluice_work_cost_total"] * 1e9) == spent
