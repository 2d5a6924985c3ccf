"""The lines of a file or a stream of JSON lines, as people really have them."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

LONGEST_LINE = 16 * 2**20
"""Bytes; a longer line is refused, so that no file can fill the memory with one query."""
GZIP = b"\x1f\x8b"


class DatasetError(ValueError):
    """A file is not a dataset. The message says where, what was wrong and what is expected."""


def lines(
    path: Path, progress: Callable[[int], None] = lambda position: None
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file as `lines_of` does.

    Args:
        path: The file.
        progress: Called with the number of bytes of the file that have been read; not of a pipe.

    Raises:
        DatasetError: The file cannot be read, is broken, or has too long a line.
    """
    try:
        with path.open("rb") as raw:
            for line in lines_of(raw, str(path)):
                if raw.seekable():
                    progress(raw.tell())
                yield line
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error


def lines_of(raw: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, as UTF-8, with their numbers from 1.

    The bytes may be compressed (gzip), and begin with the byte-order mark of UTF-8 or UTF-16; lines
    may end as on Windows.

    Args:
        raw: Where the bytes come from; it need not be seekable.
        name: Of the source, for errors.

    Raises:
        DatasetError: A line is longer than `LONGEST_LINE`, or the bytes are broken gzip or UTF-16.
        OSError: The source cannot be read.
    """
    try:
        source = _peekable(raw)
        if source.peek(2).startswith(GZIP):
            source = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=source)))
        file = _as_utf8(source)
        number = 0
        while line := file(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise DatasetError(
                    f"{name}, line {number}: longer than {LONGEST_LINE} bytes; "
                    "is this a file of JSON lines?"
                )
            line = line.removeprefix(codecs.BOM_UTF8)  # anywhere: files are concatenated
            if line.strip():
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{name}: broken gzip file ({error}); fetch it again") from error
    except UnicodeError as error:
        raise DatasetError(f"{name}: broken UTF-16 ({error})") from error


def _peekable(raw: BinaryIO) -> io.BufferedReader:
    if isinstance(raw, io.BufferedReader):
        return raw
    return io.BufferedReader(cast(io.RawIOBase, raw))


def _as_utf8(source: io.BufferedReader) -> Callable[[int], bytes]:
    """Return what reads a line of at most so many bytes, from bytes that may be UTF-16."""
    if not source.peek(2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return source.readline
    text = io.TextIOWrapper(source, "utf-16", newline="\n")
    return lambda size: text.readline(size).encode()
