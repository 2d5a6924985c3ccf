"""Which files of tables a process goes on with."""

from __future__ import annotations

from pathlib import Path

from streams.state.local_tables import forget_other_lives


def test_tables_stay_with_their_topics_only(tmp_path: Path) -> None:
    """Unknown ones are taken over; the same ids keep them; another id removes them, once."""
    row = tmp_path / "v1" / "tables" / "partitions-0.db"
    other = tmp_path / "v1" / "other"

    def write() -> None:
        row.parent.mkdir(parents=True, exist_ok=True)
        row.write_text("rows")
        other.write_text("not a table")

    write()
    forget_other_lives(tmp_path, {})
    forget_other_lives(tmp_path, {"changelog": "a"})
    forget_other_lives(tmp_path, {"changelog": "a"})
    assert row.exists()
    forget_other_lives(tmp_path, {"changelog": "b"})
    assert not row.exists()
    assert other.exists()
    write()
    forget_other_lives(tmp_path, {"changelog": "b"})
    assert row.exists()
