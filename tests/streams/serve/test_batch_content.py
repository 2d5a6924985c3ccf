"""Where the bytes of files are kept: a folder, or another of fsspec's kinds."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from streams.serve.batch_content import COPY, Content, scratch


@pytest.fixture(params=["folder", "memory"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Content:
    places = {"folder": str(tmp_path / "a" / "files"), "memory": f"memory://{tmp_path.name}"}
    return Content(places[request.param])


def test_whole_files(content: Content, tmp_path: Path) -> None:
    """What was put is there, whole, until it is deleted; a second put replaces it."""
    large = b"x" * (2 * COPY + 1)
    assert content.put("file-1", io.BytesIO(b"old")) == 3
    assert content.put("file-1", io.BytesIO(large)) == len(large)
    assert b"".join(content.parts("file-1")) == large
    content.fetch("file-1", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large
    content.delete("file-1")
    content.delete("file-1")
    with pytest.raises(FileNotFoundError):
        next(content.parts("file-1"))


def test_unknown_locations() -> None:
    """A kind that fsspec does not know is an error at once."""
    with pytest.raises(ValueError, match="nothing"):
        Content("nothing://x")


def test_scratch() -> None:
    """What a run writes is gone with it."""
    with scratch() as folder:
        (Path(folder) / "a").write_bytes(b"x")
    assert not Path(folder).exists()
