"""Neighbour indexes: one contract over exact and annoy, then what is each one's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from router.arrays import Vectors
from router.estimation.embedders import unit
from router.estimation.index import NO_ROW, AnnoyIndex, ExactIndex, NeighbourIndex
from router.estimation.index import exact as exact_module

DIMENSION = 24
Make = Callable[[Vectors], NeighbourIndex]


def some_vectors(rows: int, seed: int = 0, dimension: int = DIMENSION) -> Vectors:
    """Unit vectors in a few clusters, as texts' vectors are."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(8, dimension)) * 2
    return unit(centres[random.integers(8, size=rows)] + random.normal(size=(rows, dimension)),
                dimension)  # fmt: skip


@pytest.fixture(params=["exact", "annoy", "annoy-threads"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Builds the index to test, of at least two rows, with every row in it."""

    def annoy(vectors: Vectors, threads: int = 1) -> NeighbourIndex:
        # So many candidates that nothing is missed: what is tested here is not recall.
        return AnnoyIndex.build(vectors, tmp_path / "index.ann", search_k=10**6, threads=threads)

    kinds: dict[str, Make] = {
        "exact": ExactIndex,
        "annoy": annoy,
        "annoy-threads": lambda vectors: annoy(vectors, threads=2),
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
