"""The folder of files and batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.serve.batch_store import Store, StoredBatch, new_id


def batch(owner: str = "shop", **fields: object) -> StoredBatch:
    return StoredBatch(
        id=new_id("batch_"),
        input_file_id="file-1",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        created_at=1,
        expires_at=2,
        owner=owner,
    )


def test_files(tmp_path: Path) -> None:
    """A file is its owner's, until it is deleted."""
    store = Store(tmp_path / "files")
    assert store.batches() == []
    draft = store.draft()
    draft.write_bytes(b"{}")
    file = store.add_file(draft, "a.jsonl", "batch", "shop", new_id("file-"))
    assert (file.bytes, store.content(file.id).read_bytes()) == (2, b"{}")
    assert store.file(file.id, "shop") == file
    assert store.file(file.id, "other") is None
    assert (store.files("shop"), store.files("other")) == ([file], [])
    store.delete_file(file)
    assert store.files("shop") == []


@pytest.mark.parametrize("id", ["", "file-", "file-../x", "file-a/b", "batch_1", "file-\u00e9"])
def test_ids(tmp_path: Path, id: str) -> None:
    """What is no id leads nowhere."""
    assert Store(tmp_path).file(id, "") is None


def test_cancelled(tmp_path: Path) -> None:
    """A batch that is to be cancelled says so, until it has ended."""
    store, one = Store(tmp_path), batch()
    store.save(one)
    assert store.batch(one.id, "other") is None
    store.cancel(one.id)
    found = store.batch(one.id, "shop")
    assert found is not None
    assert found.status == "cancelling"
    one.status = "completed"
    store.save(one)
    assert [each.status for each in store.batches()] == ["completed"]


def test_one_holds_the_lock(tmp_path: Path) -> None:
    """Two cannot run the same batch; when one has ended, the other can."""
    one, other = Store(tmp_path), Store(tmp_path)
    with one.lock("batch_1") as mine:
        assert mine
        with other.lock("batch_1") as theirs:
            assert not theirs
    with other.lock("batch_1") as theirs:
        assert theirs
