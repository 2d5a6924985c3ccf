"""An index that grows: a main index, and recent rows searched exactly beside it.

Annoy's trees are fixed once built. New rows go to a buffer; when it holds enough of them, a
thread builds a new main index from all rows and puts it in the old one's place. Row numbers stay
as they were: main rows first, then the buffer's in the order of `add`.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.arrays import Vectors
from router.index.annoy import SEARCH_K, TREES, AnnoyIndex
from router.index.base import NeighbourIndex, Neighbours, best
from router.index.exact import ExactIndex

Build = Callable[[Vectors], NeighbourIndex]
"""Makes a main index of float32[rows, dimension]; runs in the background thread."""


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees. Replaced whole, never changed, so that searches need no lock."""

    main: NeighbourIndex
    vectors: Vectors  # of all rows of main
    buffer: Vectors  # float32[capacity, dimension], of which the first `recent` rows count
    recent: int


class LiveIndex(NeighbourIndex):
    """`main` plus recent rows. `add` and `search` may be called from several threads at once."""

    def __init__(
        self,
        main: NeighbourIndex,
        vectors: Vectors,
        build: Build,
        *,
        rebuild_at: int = 2_000,
        capacity: int = 8_000,
    ) -> None:
        """`vectors` are main's rows (a memory map will do). A rebuild starts once the buffer holds
        `rebuild_at` rows; it never holds more than `capacity`. Raises ValueError where main and
        vectors differ in shape, or unless 0 < rebuild_at <= capacity.
        """
        if vectors.shape != (len(main), main.dimension):
            raise ValueError(
                f"vectors of shape {vectors.shape} are not those of an index of "
                f"[{len(main)}, {main.dimension}]"
            )
        if not 0 < rebuild_at <= capacity:
            raise ValueError(f"rebuild_at is {rebuild_at}, but must be 1 to capacity ({capacity})")
        self.dimension = main.dimension
        self._build, self._rebuild_at, self._capacity = build, rebuild_at, capacity
        self._state = _State(main, vectors, self._empty_buffer(), 0)
        self._lock = threading.Lock()  # held to change the state; never while building
        self._builder = ThreadPoolExecutor(1, "rebuild")
        self._rebuilding: Future[None] | None = None

    def __len__(self) -> int:
        state = self._state
        return len(state.main) + state.recent

    @property
    def recent(self) -> int:
        """How many rows are in the buffer."""
        return self._state.recent

    @property
    def rebuilding(self) -> bool:
        """Whether a new main index is being built now."""
        rebuilding = self._rebuilding
        return rebuilding is not None and not rebuilding.done()

    def add(self, vectors: Vectors) -> int:
        """Append float32[n, dimension] unit vectors; the next search finds them, so what is kept
        by row number (outcomes) must have its new rows before.

        Returns how many were taken, the first ones: fewer than n where the buffer is full until a
        rebuild is through. Raises the error of a rebuild that failed (a full disk, for example).
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise ValueError(f"rows of shape {vectors.shape}, not [n, {self.dimension}]")
        with self._lock:
            self._raise_failure()
            state = self._state
            taken = min(len(vectors), self._capacity - state.recent)
            recent = state.recent + taken
            # Rows beyond `recent` are in no search's view, so they can be written in place.
            state.buffer[state.recent : recent] = vectors[:taken]
            self._state = _State(state.main, state.vectors, state.buffer, recent)
            if recent >= self._rebuild_at and not self.rebuilding:
                self._rebuilding = self._builder.submit(self._rebuild, self._state)
        return taken

    def wait(self, timeout: float | None = None) -> None:
        """Return when the rebuild is through. Raises its error, or TimeoutError."""
        rebuilding = self._rebuilding
        if rebuilding is not None:
            rebuilding.result(timeout)

    def close(self) -> None:
        """Wait for a rebuild and end its thread. Searches still work."""
        self._builder.shutdown()

    def _raise_failure(self) -> None:
        """Raise a finished rebuild's error, once: the next `add` may try again."""
        if self._rebuilding is not None and self._rebuilding.done():
            finished, self._rebuilding = self._rebuilding, None
            finished.result()

    def _rebuild(self, state: _State) -> None:
        vectors = np.concatenate([state.vectors, state.buffer[: state.recent]])
        main = self._build(vectors)
        with self._lock:
            now = self._state
            buffer = self._empty_buffer()
            newer = now.buffer[state.recent : now.recent]
            buffer[: len(newer)] = newer
            self._state = _State(main, vectors, buffer, len(newer))

    def _empty_buffer(self) -> Vectors:
        return np.empty((self._capacity, self.dimension), dtype=np.float32)

    def _search(self, vectors: Vectors, k: int) -> Neighbours:
        state = self._state
        found = state.main.search(vectors, k)
        if not state.recent:
            return found
        newer = ExactIndex(state.buffer[: state.recent]).search(vectors, k)
        rows = np.where(newer.rows >= 0, newer.rows + len(state.main), newer.rows)
        return best(
            np.concatenate([found.rows, rows], axis=1),
            np.concatenate([found.similarity, newer.similarity], axis=1),
            k,
        )


def annoy_builder(
    folder: Path, trees: int = TREES, search_k: int = SEARCH_K, threads: int = 1
) -> Build:
    """Builds Annoy indexes into new files of `folder`.

    A file loses its name once mapped and takes room on the disk until its index is dropped. Only a
    process killed while it builds leaves something: a folder `rebuild-…`.
    """

    def build(vectors: Vectors) -> NeighbourIndex:
        with tempfile.TemporaryDirectory(dir=folder, prefix="rebuild-") as draft:
            path = Path(draft) / "index.ann"
            return AnnoyIndex.build(vectors, path, trees=trees, search_k=search_k, threads=threads)

    return build


def exact_builder(vectors: Vectors) -> NeighbourIndex:
    """Builds exact indexes: for histories small enough to compare with every row."""
    return ExactIndex(vectors)
