"""Brokers for tests: each is started once a session, and only when a test asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from streams.brokers import Broker, jars
from streams.brokers.kafka import KafkaServer
from tests.support.faulty_broker import FaultyBroker

# How long an example takes says more of the machine than of the code.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")

_numbers = itertools.count(1)


class Kinds(LoadScopeScheduling):  # type: ignore[misc]
    """One process runs all tests with kills, one those of a whole system, the rest goes anywhere.

    Each has several routers and a Kafka: two of a kind at a time would only wait for each other.
    """

    def _split_scope(self, nodeid: str) -> str:
        folder = "/".join(nodeid.split("/")[:2])
        return folder if folder in {"tests/chaos", "tests/e2e"} else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Kinds:
    """Divide the tests among processes. (xdist's own groups do not work with pytest 9.)"""
    return Kinds(config, log)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[FaultyBroker]:
    """The mock cluster. Whoever injects a fault takes it back before the test ends."""
    with FaultyBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def can_run_kafka() -> None:
    """Skips whoever asks where a real Apache Kafka cannot run, and says what is missing."""
    if lacks := jars.missing():
        pytest.skip(f"needs a real Kafka: {lacks}")


@pytest.fixture(scope="session")
def kafka_broker(
    can_run_kafka: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    """A real Apache Kafka."""
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker in turn: what a test says must hold on both."""
    started: Broker = request.getfixturevalue(f"{request.param}_broker")
    return started


@pytest.fixture
def prefix() -> str:
    """A prefix for topics and groups that no other test of the session has."""
    return f"test{next(_numbers)}."
