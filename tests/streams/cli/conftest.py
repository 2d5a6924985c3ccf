"""A configuration for commands, and an environment without settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.cli.planning import planned
from streams.config.settings import load

CONFIG = """
[topics]
prefix = "{prefix}"
partitions = 2
model_partitions = 1
[models.small]
input_price = "0.1"
output_price = "0.2"
[models."org/large"]
input_price = "1"
output_price = "2"
[budget]
total = "1"
[policy]
expected_queries = 100
[index]
kind = "exact"
"""


LIMITED = """
[topics]
prefix = "{prefix}"
partitions = 2
[models.small]
input_price = "0.1"
output_price = "0.2"
budget = {{ limit = "1" }}
[models.large]
input_price = "1"
output_price = "2"
budget = {{ limit = "2" }}
[tenants.shop.limits]
small = "0.5"
[policy]
expected_queries = 100
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has in the environment must not decide a test."""
    for name in ("SLUICE_BROKER", "SLUICE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Path:
    """A file with two models."""
    file = tmp_path / "sluice.toml"
    file.write_text(CONFIG.format(prefix=prefix))
    return file


@pytest.fixture
def deployed(
    tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A file with two models and their limits, whose topics are on a broker."""
    file = tmp_path / "limited.toml"
    file.write_text(LIMITED.format(prefix=prefix))
    embedded_broker.create({topic.name: topic.partitions for topic in planned(load(file, {}))})
    monkeypatch.setenv("SLUICE_BROKER", embedded_broker.servers)
    return file
