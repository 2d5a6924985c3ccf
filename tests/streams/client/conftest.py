"""A configuration with two models whose topics are on the embedded broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.cli.topics import planned
from streams.config.settings import Config, load
from tests.streams.cli.conftest import LIMITED


@pytest.fixture
def deployed(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> Config:
    """Two models, small and large, and a tenant."""
    file = tmp_path / "sluice.toml"
    file.write_text(LIMITED.format(prefix=prefix))
    config = load(file, {"SLUICE_BROKER": embedded_broker.servers})
    embedded_broker.create({topic.name: topic.partitions for topic in planned(config)})
    return config
