"""Lines of files: their encodings, line ends and compression."""

from __future__ import annotations

import codecs
import gzip
import io
from pathlib import Path

import pytest

from router.evaluation.lines import LONGEST_LINE, DatasetError, lines, lines_of

TEXT = '{"id": "ä"}\n\n{"id": "b"}\n'
EXPECTED = [(1, '{"id": "ä"}'.encode()), (3, b'{"id": "b"}')]
PLAIN = TEXT.encode()
WINDOWS = TEXT.replace("\n", "\r\n")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.rstrip(),
        WINDOWS.encode(),
        codecs.BOM_UTF8 + PLAIN,
        codecs.BOM_UTF8 + WINDOWS.encode(),
        codecs.BOM_UTF16_LE + WINDOWS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    ],
    ids=["plain", "no end", "windows", "mark", "mark and windows", "utf-16-le", "utf-16-be"],
)
def test_the_same_lines(tmp_path: Path, data: bytes, compressed: bool) -> None:
    """From a file and from a stream that cannot seek."""
    data = gzip.compress(data) if compressed else data
    file = tmp_path / "queries.jsonl"
    file.write_bytes(data)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for found in (lines(file), lines_of(Pipe(data), "standard input")):
        assert [(number, line.strip()) for number, line in found] == EXPECTED


def test_files_of_mark_and_members_one_after_the_other() -> None:
    """As `cat` makes them of two files."""
    part = codecs.BOM_UTF8 + b"1\n"
    for data in (part + part, gzip.compress(part) + gzip.compress(part)):
        assert list(lines_of(io.BytesIO(data), "x")) == [(1, b"1\n"), (2, b"1\n")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(PLAIN)[:-6], "x: broken gzip file"),
        (b"\x1f\x8bnonsense", "x: broken gzip file"),
        (codecs.BOM_UTF16_LE + b"a", "x: broken UTF-16"),
        (b"a" * (LONGEST_LINE + 1), "x, line 1: longer than"),
    ],
    ids=["cut gzip", "no gzip", "cut UTF-16", "long line"],
)
def test_broken_files(data: bytes, words: str) -> None:
    """The error names source and place."""
    with pytest.raises(DatasetError, match=words):
        list(lines_of(io.BytesIO(data), "x"))
