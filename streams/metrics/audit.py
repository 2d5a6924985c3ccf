"""What an audit tells Prometheus, as a file for the node exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from schemas.fields import NANO


def audit_registry(
    differences: int, overcharges: Mapping[str, int], now: float
) -> CollectorRegistry:
    """Make the metrics of one audit.

    Args:
        differences: Between the ledger and the log.
        overcharges: Nano-units by model, charged above what was reserved.
        now: When it ended, Unix seconds.
    """
    registry = CollectorRegistry()
    for name, words, value in (
        ("sluice_audit_equal", "1 where the ledger equals the log, else 0.", differences == 0),
        ("sluice_audit_differences", "Between the ledger and the log.", differences),
        ("sluice_audit_timestamp_seconds", "When the audit ended.", now),
    ):
        Gauge(name, words, registry=registry).set(value)
    excess = Gauge(
        "sluice_audit_overcharged",
        "What backends charged above the reservations, in units of currency.",
        ("model",),
        registry=registry,
    )
    for model, amount in overcharges.items():
        excess.labels(model).set(amount / NANO)
    return registry


def write_audit(path: Path, registry: CollectorRegistry) -> None:
    """Replace the file at once, so that no half of one is ever read. Raises OSError."""
    write_to_textfile(str(path), registry)
