"""One partition over a recorded outbox and an empty store; and a whole recorded deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.state.partition import Partition
from streams.state.store import MemoryStore
from tests.support.recorded import RecordedOutbox, open_partition
from tests.support.recording import RECORDINGS, Recording, Restored
from tests.support.traces import Memory, recorded


@pytest.fixture
def outbox() -> RecordedOutbox:
    """Takes what is sent."""
    return RecordedOutbox()


@pytest.fixture
def store() -> MemoryStore:
    """Empty."""
    return MemoryStore()


@pytest.fixture
def partition(outbox: RecordedOutbox, store: MemoryStore) -> Partition:
    """Partition 0, new."""
    return open_partition(outbox, store)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    """A deployment's topics, for commands that only read."""
    with EmbeddedBroker() as broker:
        folder = tmp_path_factory.mktemp("deployment")
        yield Restored(Recording.read(RECORDINGS[-1]), broker, folder)


@pytest.fixture
def own_deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    """The same for a test that writes to the topics."""
    with EmbeddedBroker() as broker:
        folder = tmp_path_factory.mktemp("deployment")
        yield Restored(Recording.read(RECORDINGS[-1]), broker, folder)


@pytest.fixture
def spans() -> Iterator[Memory]:
    """The spans that this process makes meanwhile."""
    with recorded() as memory:
        yield memory
