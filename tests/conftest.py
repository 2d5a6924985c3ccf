"""Brokers for tests: each is started once a session, and only when a test asks for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from streams.brokers import Broker, jars
from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer

# How long an example takes says more of the machine than of the code.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run all tests with kills, and one those of a whole system.

    Each has several routers and a Kafka: two of a kind at a time would only wait for each other.
    """
    for item in items:
        for kind in ("chaos", "e2e"):
            if kind in item.path.parts:
                item.add_marker(pytest.mark.xdist_group(kind))


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """The mock cluster. Whoever injects a fault takes it back before the test ends."""
    with EmbeddedBroker() as broker:
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
