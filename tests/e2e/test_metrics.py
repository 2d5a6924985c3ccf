"""A running router answers Prometheus with what it has done."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import free_port
from tests.system import System


def test_metrics_of_a_router(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> None:
    """Decisions, results and money are those of the topics; only loopback is asked."""
    at = f"127.0.0.1:{free_port()}"

    def scraped() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{at}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        totals: dict[str, float] = {}
        for sample in (sample for family in families for sample in family.samples):
            name = f"{sample.name} {sample.labels.get('decision', '')}".strip()
            totals[name] = totals.get(name, 0.0) + sample.value
        return totals

    with System(embedded_broker, tmp_path, prefix, size=100) as system:
        system.run("r0", "route", "--config", str(system.config), "--name", "r0", "--metrics", at)
        system.answer()
        system.send(system.topics.queries, b"no json")
        system.produce()
        system.wait_settled()
        routed = {r.key for name in system.models for r in system.read(system.topics.routed(name))}
        system.wait(
            "all results to be counted",
            lambda: scraped()["sluice_results_total"] == len(routed),
        )
        found = scraped()
        assert found["sluice_route_decisions_total routed"] == len(routed)
        assert found["sluice_route_decisions_total rejected"] == 1
        assert found["sluice_route_latency_seconds_count"] == 101
        assert found["sluice_partitions"] == system.partitions
        assert found["sluice_budget_reserved"] == 0
        spent = sum(a.spent for state in system.states().values() for a in state.accounts.values())
        assert round(found["sluice_budget_spent"] * 1e9) == spent
