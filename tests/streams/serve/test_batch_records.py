"""What is known of files and batches."""

from __future__ import annotations

import msgspec

from streams.serve.batch_records import BATCH, Counts, StoredBatch, new_id
from tests.streams.serve.test_batch_store import batch


def test_ids() -> None:
    """No id is drawn twice."""
    assert new_id(BATCH) != new_id(BATCH)
    assert new_id(BATCH).startswith("batch_")


def test_records() -> None:
    """A batch is read back as it was written, also by a version that knows more of it."""
    one = batch(request_counts=Counts(total=2))
    data = msgspec.json.encode(one)
    assert msgspec.json.decode(data, type=StoredBatch) == one
    more = {**msgspec.json.decode(data), "colour": "red"}
    assert msgspec.json.decode(msgspec.json.encode(more), type=StoredBatch) == one
