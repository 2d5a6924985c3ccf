"""Whose records count in a changelog: those of whoever claimed it last."""

from __future__ import annotations

from streams.kafka.logs import Record
from streams.state.fence import OWNER, Fence, claim_key, is_claim, rightful


def row(key: bytes, owner: bytes | None = None, partition: int = 0) -> Record:
    headers = () if owner is None else ((OWNER, owner),)
    return Record("changelog", partition, 0, 0, key, b"value", headers)


def claim(token: bytes, partition: int = 0) -> Record:
    return Record("changelog", partition, 0, 0, claim_key(token), b"", ())


def test_before_the_first_claim_every_record_counts() -> None:
    """Changelogs that were written before there were claims are read as they are."""
    fence = Fence()
    assert fence.counts(b"a", None)
    assert fence.counts(b"b", ((OWNER, b"anybody"),))
    assert fence.owner is None


def test_after_a_claim_only_its_owner_counts() -> None:
    """Records of a former owner, and records without one, are void."""
    read = [claim(b"1"), row(b"a", b"1"), claim(b"2"), row(b"b", b"1"), row(b"c"), row(b"d", b"2")]
    assert [record.key for record in rightful(read)] == [b"a", b"d"]


def test_a_claim_is_no_row() -> None:
    """It is told from rows by its key alone."""
    assert is_claim(claim_key(b"1"))
    assert not is_claim(b"state")
    assert not is_claim(None)


def test_a_void_record_hides_its_key_until_the_owner_writes_it_again() -> None:
    """Compaction may have taken what stood there before."""
    fence = Fence()
    fence.counts(claim_key(b"1"), None)
    assert not fence.counts(b"a", {OWNER: b"0"})
    assert fence.shadowed_keys == {b"a"}
    assert fence.counts(b"a", {OWNER: b"1"})
    assert fence.shadowed_keys == set()


def test_each_partition_has_an_owner_of_its_own() -> None:
    """A claim in one partition says nothing of another."""
    read = [claim(b"1", 0), row(b"a", b"2", 1), claim(b"2", 1), row(b"b", b"1", 0)]
    assert [record.key for record in rightful(read)] == [b"a", b"b"]
