"""What an audit leaves for Prometheus."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.metrics.audit import audit_registry, write_audit
from tests.support.scrape import parsed


@pytest.mark.parametrize(("differences", "equal"), [(0, 1), (3, 0)])
def test_an_audit_is_written(tmp_path: Path, differences: int, equal: int) -> None:
    """Whether it is equal, when it ended, and which model's server charged too much."""
    path = tmp_path / "sluice_audit.prom"
    write_audit(path, audit_registry(differences, {"small": 1_500_000_000}, 1e9))
    found = {(each.name, *each.labels.values()): each.value for each in parsed(path.read_text())}
    assert found == {
        ("sluice_audit_equal",): equal,
        ("sluice_audit_differences",): differences,
        ("sluice_audit_timestamp_seconds",): 1e9,
        ("sluice_audit_overcharged", "small"): 1.5,
    }
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
