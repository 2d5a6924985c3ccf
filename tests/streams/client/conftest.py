"""A deployment on the embedded broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.config.settings import Config
from tests.support.front import deploy


@pytest.fixture
def deployed(tmp_path: Path, prefix: str, embedded_broker: EmbeddedBroker) -> Config:
    """Two models, small and large, and a tenant."""
    return deploy(tmp_path, prefix, embedded_broker)
