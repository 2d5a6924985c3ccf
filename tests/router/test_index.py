"""Neighbour indexes: one contract over exact, annoy and live, then what is each one's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.arrays import Vectors
from router.embedders import unit
from router.index import (
    NO_ROW,
    AnnoyIndex,
    ExactIndex,
    LiveIndex,
    NeighbourIndex,
    annoy_builder,
    exact_builder,
)
from router.index import exact as exact_module

DIMENSION = 24
Make = Callable[[Vectors], NeighbourIndex]


def some_vectors(rows: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    """Unit vectors in a few clusters, as texts' vectors are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, dimension)) * 2
    return unit(centres[random.integers(8, size=rows)] + random.normal(size=(rows, dimension)),
                dimension)  # fmt: skip


@pytest.fixture(params=["exact", "annoy", "annoy-threads", "live-exact", "live-annoy"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Builds the index to test, of at least two rows, with every row in it."""

    def annoy(vectors: Vectors, threads: int = 1) -> NeighbourIndex:
        # So many candidates that nothing is missed: what is tested here is not recall.
        return AnnoyIndex.build(vectors, tmp_path / "index.ann", search_k=10**6, threads=threads)

    def live(vectors: Vectors, main: Make) -> NeighbourIndex:
        half = len(vectors) // 2
        index = LiveIndex(main(vectors[:half]), vectors[:half], main, rebuild_at=10**4,
                          capacity=10**4)  # fmt: skip
        assert index.add(vectors[half:]) == len(vectors) - half
        return index

    kinds: dict[str, Make] = {
        "exact": ExactIndex,
        "annoy": annoy,
        "annoy-threads": lambda vectors: annoy(vectors, threads=2),
        "live-exact": lambda vectors: live(vectors, ExactIndex),
        "live-annoy": lambda vectors: live(vectors, annoy),
    }
    return kinds[request.param]


class TestContract:
    def test_neighbours_are_the_nearest(self, make: Make) -> None:
        """Rows and cosines are those of a sorted product, highest first, in the promised types."""
        history, queries = some_vectors(300), some_vectors(40, seed=1)
        found = make(history).search(queries, 7)
        cosines = queries @ history.T
        expected = np.argsort(-cosines, axis=1)[:, :7]
        np.testing.assert_array_equal(found.rows, expected)
        np.testing.assert_allclose(
            found.similarity, np.take_along_axis(cosines, expected, axis=1), atol=1e-5
        )
        assert found.rows.dtype == np.int64
        assert found.similarity.dtype == np.float32

    def test_a_row_finds_itself(self, make: Make) -> None:
        """The nearest to a row's own vector is that row, at similarity 1."""
        history = some_vectors(120)
        index = make(history)
        found = index.search(history, 1)
        assert len(index) == 120
        np.testing.assert_array_equal(found.rows[:, 0], np.arange(120))
        np.testing.assert_allclose(found.similarity, 1, atol=1e-5)

    def test_fewer_rows_than_k(self, make: Make) -> None:
        """Places without a neighbour hold NO_ROW twice, after those with one."""
        found = make(some_vectors(3)).search(some_vectors(2, seed=1), 5)
        assert [sorted(row) for row in found.rows[:, :3].tolist()] == [[0, 1, 2]] * 2
        assert (found.rows[:, 3:] == NO_ROW).all()
        assert (found.similarity[:, 3:] == NO_ROW).all()

    def test_equal_rows_come_by_number(self, make: Make) -> None:
        """Among equally similar rows the lower number comes first."""
        history = np.repeat(some_vectors(2), [3, 3], axis=0)
        found = make(history).search(history[4:5], 6)
        assert found.rows[0].tolist() == [3, 4, 5, 0, 1, 2]

    def test_no_queries(self, make: Make) -> None:
        """No queries find nothing, in the right shape."""
        found = make(some_vectors(9)).search(some_vectors(1)[:0], 4)
        assert found.rows.shape == found.similarity.shape == (0, 4)

    def test_a_query_is_on_its_own(self, make: Make) -> None:
        """To the bit, a query finds alone what it finds among others."""
        index, queries = make(some_vectors(500)), some_vectors(30, seed=1)
        together = index.search(queries, 6)
        for i in range(len(queries)):
            alone = index.search(queries[i : i + 1], 6)
            np.testing.assert_array_equal(alone.rows[0], together.rows[i])
            np.testing.assert_array_equal(alone.similarity[0], together.similarity[i])

    def test_threads(self, make: Make) -> None:
        """Several threads at once find what one finds."""
        index = make(some_vectors(400))
        batches = [some_vectors(20, seed=seed) for seed in range(1, 9)]
        alone = [index.search(batch, 5).rows for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda batch: index.search(batch, 5).rows, batches))
        np.testing.assert_array_equal(alone, together)

    def test_wrong_queries(self, make: Make) -> None:
        """Another dimension and a k below 1 are refused with both figures."""
        index = make(some_vectors(9))
        with pytest.raises(ValueError, match=r"\(1, 7\).*dimension 24"):
            index.search(some_vectors(1, dimension=7), 3)
        with pytest.raises(ValueError, match="k is 0"):
            index.search(some_vectors(1), 0)


class TestExact:
    def test_empty(self) -> None:
        """An index of no rows finds nothing."""
        found = ExactIndex(some_vectors(1)[:0]).search(some_vectors(2), 3)
        assert (found.rows == NO_ROW).all()

    def test_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Queries cut into blocks find what they find in one."""
        index, queries = ExactIndex(some_vectors(50)), some_vectors(33, seed=1)
        whole = index.search(queries, 4)
        monkeypatch.setattr(exact_module, "BLOCK_VALUES", 10 * 50)
        np.testing.assert_array_equal(index.search(queries, 4).rows, whole.rows)

    def test_wrong_vectors(self) -> None:
        """Vectors of another type would be copied on each search: refused."""
        with pytest.raises(ValueError, match="float64"):
            ExactIndex(np.eye(3))  # type: ignore[arg-type]  # the point of the test


class TestAnnoy:
    def test_recall(self, tmp_path: Path) -> None:
        """With its default settings most neighbours are found, and a wider search finds more."""
        history, queries = some_vectors(5000, dimension=64), some_vectors(50, 1, dimension=64)
        truth = ExactIndex(history).search(queries, 10).rows
        path = tmp_path / "index.ann"
        AnnoyIndex.build(history, path)

        def recall(search_k: int) -> float:
            rows = AnnoyIndex(path, 64, search_k).search(queries, 10).rows
            return float(np.mean([np.isin(a, b).mean() for a, b in zip(rows, truth, strict=True)]))

        assert recall(100) < recall(800) < recall(5000)
        assert recall(800) > 0.6

    def test_same_file(self, tmp_path: Path) -> None:
        """The same vectors give the same bytes, and no draft is left beside them."""
        history = some_vectors(500)
        for name in ("a.ann", "b.ann"):
            AnnoyIndex.build(history, tmp_path / name)
        assert (tmp_path / "a.ann").read_bytes() == (tmp_path / "b.ann").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ann", "b.ann"]

    def test_missing_file(self, tmp_path: Path) -> None:
        """A file that is not there is an OSError that names it."""
        with pytest.raises(OSError, match=r"none\.ann"):
            AnnoyIndex(tmp_path / "none.ann", DIMENSION)

    def test_no_rows(self, tmp_path: Path) -> None:
        """Trees of nothing are refused, and nothing is written."""
        with pytest.raises(ValueError, match="index needs"):
            AnnoyIndex.build(some_vectors(1)[:0], tmp_path / "index.ann")
        assert list(tmp_path.iterdir()) == []


class TestLive:
    def test_row_numbers_survive_rebuilds(self, tmp_path: Path) -> None:
        """Rows keep their numbers while they move from the buffer into the main index."""
        history = some_vectors(400)
        build = annoy_builder(tmp_path, search_k=10**6)
        index = LiveIndex(build(history[:100]), history[:100], build, rebuild_at=30, capacity=60)
        for start in range(100, 400, 25):
            assert index.add(history[start : start + 25]) == 25
            found = index.search(history[: start + 25], 1)
            np.testing.assert_array_equal(found.rows[:, 0], np.arange(start + 25))
            index.wait(30)
        assert index.recent < 60
        assert len(index) == 400
        np.testing.assert_array_equal(index.search(history, 1).rows[:, 0], np.arange(400))
        assert list(tmp_path.iterdir()) == []  # the files' names are gone, their rows are not
        index.close()

    def test_starts_from_nothing(self) -> None:
        """Without any history yet, everything is recent."""
        nothing = some_vectors(1)[:0]
        index = LiveIndex(ExactIndex(nothing), nothing, exact_builder)
        assert (index.search(some_vectors(1), 2).rows == NO_ROW).all()
        index.add(some_vectors(3))
        assert index.search(some_vectors(1), 1).rows.tolist() == [[0]]

    def test_searches_and_adds_go_on_while_rebuilding(self) -> None:
        """A rebuild holds nobody up; rows added meanwhile stay in the buffer and are found."""
        begun, finish = threading.Event(), threading.Event()

        def build(vectors: Vectors) -> NeighbourIndex:
            begun.set()
            assert finish.wait(30)
            return ExactIndex(vectors)

        history = some_vectors(40)
        index = LiveIndex(ExactIndex(history[:10]), history[:10], build, rebuild_at=5, capacity=20)
        index.add(history[10:16])
        assert begun.wait(30)
        assert index.rebuilding
        assert index.add(history[16:25]) == 9
        np.testing.assert_array_equal(index.search(history[:25], 1).rows[:, 0], np.arange(25))
        finish.set()
        index.wait(30)
        assert (index.recent, len(index)) == (9, 25)
        np.testing.assert_array_equal(index.search(history[:25], 1).rows[:, 0], np.arange(25))
        index.close()

    def test_buffer_is_bounded(self) -> None:
        """A full buffer takes what fits and says so; after the rebuild it takes more."""
        finish = threading.Event()

        def build(vectors: Vectors) -> NeighbourIndex:
            assert finish.wait(30)
            return ExactIndex(vectors)

        history = some_vectors(50)
        index = LiveIndex(ExactIndex(history[:10]), history[:10], build, rebuild_at=5, capacity=8)
        assert [index.add(history[10:16]), index.add(history[16:26]), index.add(history[:3])] == [
            6, 2, 0
        ]  # fmt: skip
        assert (index.recent, len(index)) == (8, 18)
        finish.set()
        index.wait(30)
        assert index.add(history[18:20]) == 2
        np.testing.assert_array_equal(index.search(history[:20], 1).rows[:, 0], np.arange(20))
        index.close()

    def test_failed_rebuild_is_told_once(self) -> None:
        """The next `add` raises a rebuild's error and takes nothing; the one after tries again."""
        tries = 0

        def build(vectors: Vectors) -> NeighbourIndex:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise OSError("no space left on device")
            return ExactIndex(vectors)

        history = some_vectors(20)
        index = LiveIndex(ExactIndex(history[:4]), history[:4], build, rebuild_at=2, capacity=9)
        index.add(history[4:8])
        with pytest.raises(OSError, match="no space left"):
            index.wait(30)
        with pytest.raises(OSError, match="no space left"):
            index.add(history[8:9])
        assert len(index) == 8
        assert index.add(history[8:9]) == 1
        index.wait(30)
        assert index.recent == 0
        index.close()

    def test_adds_from_many_threads(self) -> None:
        """No row is lost or doubled, with searches and rebuilds in between."""
        history = some_vectors(601)
        index = LiveIndex(
            ExactIndex(history[:1]), history[:1], exact_builder, rebuild_at=20, capacity=1000
        )

        def add(start: int) -> int:
            taken = index.add(history[start : start + 10])
            found = index.search(history[start : start + 10], 1)
            assert (found.similarity > 1 - 1e-5).all()
            return taken

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(add, range(1, 601, 10))) == 600
        index.wait(30)
        assert len(index) == 601
        assert set(index.search(history, 1).rows[:, 0].tolist()) == set(range(601))
        index.close()

    def test_wrong_settings(self) -> None:
        """Bounds that cannot hold, and vectors of another index, are refused."""
        history = some_vectors(5)
        with pytest.raises(ValueError, match="rebuild_at is 9"):
            LiveIndex(ExactIndex(history), history, exact_builder, rebuild_at=9, capacity=8)
        with pytest.raises(ValueError, match=r"\(4, 24\) are not those"):
            LiveIndex(ExactIndex(history), history[:4], exact_builder)
        with pytest.raises(ValueError, match=r"rows of shape \(2, 3\)"):
            LiveIndex(ExactIndex(history), history, exact_builder).add(some_vectors(2, 0, 3))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.integers(0, 12), max_size=12), st.integers(1, 9), st.integers(1, 6))
    def test_as_if_all_had_been_there(self, sizes: list[int], rebuild_at: int, k: int) -> None:
        """However rows arrive and whenever it is rebuilt, it finds what one exact index finds."""
        history, queries = some_vectors(150), some_vectors(6, seed=1)
        index = LiveIndex(ExactIndex(history[:5]), history[:5], exact_builder,
                          rebuild_at=rebuild_at, capacity=150)  # fmt: skip
        end = 5
        for size in sizes:
            assert index.add(history[end : end + size]) == size
            end += size
            expected = ExactIndex(history[:end]).search(queries, k)
            np.testing.assert_array_equal(index.search(queries, k).rows, expected.rows)
        index.close()
