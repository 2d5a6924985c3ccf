"""Word counts and surface measures of texts, vectorised: no vocabulary, no loops over characters.

All texts of a call are one array of bytes, and every step is one pass over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from router.arrays import Floats, Ints

BUCKETS = 2**18
"""Words and pairs of words are counted by hash, in so many buckets."""
LONGEST = 8192
"""Bytes of a text that are looked at: the first and the last half of so many."""
BLOCK = 512
"""Texts in one pass, so that its arrays stay small."""

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that its powers have inverses modulo 2^64
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
_MIX = np.uint64(0xD6E8FEB86659FD93)

_CODE = np.arange(256)
_DIGIT = np.isin(_CODE, list(b"0123456789"))
_UPPER = np.isin(_CODE, list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_LOWER = np.isin(_CODE, list(b"abcdefghijklmnopqrstuvwxyz"))
_FOREIGN = _CODE >= 128
_WORD = _DIGIT | _UPPER | _LOWER | _FOREIGN | np.isin(_CODE, list(b"_"))
_SPACE = (_CODE <= 32) & (_CODE > 0)
_FOLD = np.where(_UPPER, _CODE + 32, _CODE).astype(np.uint64) + np.uint64(1)
_CLASSES = np.column_stack(
    [
        _DIGIT,
        _UPPER,
        _FOREIGN,
        _SPACE,
        ~_WORD & ~_SPACE & (_CODE > 0),
        *(np.isin(_CODE, ord(sign)) for sign in "\n?=\\$(.,:`"),
    ]
).astype(np.int64)
"""int64[256, C], which bytes each count is of: five kinds, then single signs."""


class TextCounts(NamedTuple):
    """Raw counts of n texts.

    Attributes:
        words: Sparse counts [n, BUCKETS] of words and pairs of words.
        shape: float64[n, F], lengths, proportions and counts of signs.
    """

    words: csr_array
    shape: Floats


def count_words(texts: Sequence[str]) -> TextCounts:
    """Count hashed, case-folded words and pairs of them, and measure lengths and signs."""
    blocks = [
        _count_block(texts[start : start + BLOCK]) for start in range(0, len(texts) or 1, BLOCK)
    ]
    if len(blocks) == 1:
        return blocks[0]
    return TextCounts(
        vstack([block.words for block in blocks], format="csr"),
        np.concatenate([block.shape for block in blocks]),
    )


def _count_block(texts: Sequence[str]) -> TextCounts:
    encoded = [_cut(text.encode("utf-8", "replace")) for text in texts]
    size = np.array([len(text) for text in encoded], dtype=np.int64)
    # A zero byte after each text keeps words from running into the next.
    data = np.frombuffer(b"\0".join([*encoded, b""]), dtype=np.uint8)
    end = np.cumsum(size + 1)
    is_word = _WORD[data]
    around = np.zeros(len(data) + 2, dtype=np.bool_)
    around[1:-1] = is_word
    edge = np.flatnonzero(around[1:] != around[:-1])
    first, last = edge[::2], edge[1::2]
    owner = np.searchsorted(end, first, side="right")
    hashes = _hashes(data, first, last)
    together = owner[1:] == owner[:-1]
    pairs = (hashes[:-1] * _MIX + hashes[1:])[together]
    bucket = _bucket(np.concatenate([hashes, pairs]))
    row = np.concatenate([owner, owner[1:][together]])
    words = np.bincount(owner, minlength=len(texts))
    return TextCounts(_sparse_counts(row, bucket, len(texts)), _shape(data, size, words, texts))


def _sparse_counts(row: Ints, bucket: Ints, texts: int) -> csr_array:
    """Return sparse counts [n, BUCKETS], columns in order. Faster than scipy's own way here."""
    every = np.sort(row * BUCKETS + bucket)
    begin = np.flatnonzero(np.concatenate([every[:1] >= 0, every[1:] != every[:-1]]))
    places, counts = every[begin], np.diff(begin, append=len(every))
    edges = np.searchsorted(places, np.arange(texts + 1) * BUCKETS)
    return csr_array((counts.astype(np.float32), places % BUCKETS, edges), shape=(texts, BUCKETS))


def _cut(text: bytes) -> bytes:
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + b" " + text[-(LONGEST // 2) :]
    return text.replace(b"\0", b" ")


def _hashes(data: NDArray[np.uint8], first: Ints, last: Ints) -> NDArray[np.uint64]:
    """Return uint64 hashes of words, Σ byte_i · base^(i − first) mod 2^64."""
    power, back = (
        _POWERS[base][: len(data)] if len(data) <= LONGEST else _powers(base, len(data))
        for base in (_BASE, _INVERSE)
    )
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_FOLD[data] * power)])
    hashes: NDArray[np.uint64] = (running[last] - running[first]) * back[first]
    return hashes


def _powers(base: np.uint64, count: int) -> NDArray[np.uint64]:
    """Return uint64[count], base^i modulo 2^64."""
    powers = np.full(count, base, dtype=np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)


_POWERS = {base: _powers(base, LONGEST + 1) for base in (_BASE, _INVERSE)}
"""Of each base, the powers that one text needs."""


def _bucket(hashes: NDArray[np.uint64]) -> Ints:
    mixed = (hashes ^ (hashes >> np.uint64(29))) * _MIX
    bucket: Ints = (mixed >> np.uint64(46)).astype(np.int64)
    return bucket


def _shape(data: NDArray[np.uint8], size: Ints, words: Ints, texts: Sequence[str]) -> Floats:
    first = np.repeat(np.arange(len(texts)) * 256, size + 1)
    bytes_of = np.bincount(first + data, minlength=256 * len(texts)).reshape(-1, 256)
    counts = (bytes_of @ _CLASSES).astype(np.float64)
    length = np.array([len(text) for text in texts], dtype=np.float64)
    some = np.maximum(size, 1).astype(np.float64)
    digits, kinds, signs = counts[:, :1], counts[:, :5], counts[:, 5:]
    return np.hstack(
        [
            np.log1p(length)[:, None],
            np.log1p(words)[:, None],
            (size / np.maximum(words, 1.0))[:, None],
            kinds / some[:, None],
            np.log1p(digits),
            np.log1p(signs),
        ]
    )
