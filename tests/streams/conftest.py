"""One partition over a recorded outbox and an empty store, for tests that need no broker."""

from __future__ import annotations

import pytest

from streams.state.partition import Partition
from streams.state.store import MemoryStore
from tests.support.recorded import RecordedOutbox, memory_store, open_partition


@pytest.fixture
def outbox() -> RecordedOutbox:
    """Takes what is sent."""
    return RecordedOutbox()


@pytest.fixture
def store() -> MemoryStore:
    """Empty."""
    return memory_store()


@pytest.fixture
def partition(outbox: RecordedOutbox, store: MemoryStore) -> Partition:
    """Partition 0, new."""
    return open_partition(outbox, store)
