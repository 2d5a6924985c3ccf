"""The index folder: what goes in comes out, and every kind of damage is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.estimation.history import History
from router.estimation.index import AnnoyIndex, IndexRefused, load_index, save_index
from router.estimation.index import manifest as manifest_module
from router.estimation.index.manifest import older_folder
from tests.router.estimation.test_index import some_vectors

MODELS = ["small", "large"]
EXPECTED: dict[str, Any] = {"embedder": "test/1", "dimension": 24, "models": MODELS}
ESTIMATOR = {"k": np.array(16), "weights": np.arange(6.0).reshape(2, 3)}


def a_history(rows: int = 40) -> History:
    random = np.random.default_rng(3)
    scores = random.random((rows, 2))
    scores[0, 1] = np.nan
    ids = [f"q{i}-é" for i in range(rows)]
    return History(ids, some_vectors(rows), scores, random.random((rows, 2)) * 1e6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index folder as `save_index` leaves it, of kind annoy."""
    path = tmp_path / "index"
    save_index(path, a_history(), embedder="test/1", models=MODELS, estimator=ESTIMATOR)
    return path


class TestRoundTrip:
    @pytest.mark.parametrize("kind", ["annoy", "exact"])
    def test_what_was_saved_is_loaded(self, tmp_path: Path, kind: Any) -> None:
        """History, index and the estimator's arrays come back as they were."""
        history = a_history()
        saved = save_index(tmp_path / "deep" / "index", history, embedder="test/1", models=MODELS,
                           kind=kind, estimator=ESTIMATOR)  # fmt: skip
        loaded = load_index(tmp_path / "deep" / "index", **EXPECTED)
        assert loaded.manifest == saved
        assert loaded.history.ids == history.ids
        for name in ("embeddings", "scores", "costs"):
            np.testing.assert_array_equal(getattr(loaded.history, name), getattr(history, name))
        assert loaded.estimator.keys() == ESTIMATOR.keys()
        for name, array in ESTIMATOR.items():
            np.testing.assert_array_equal(loaded.estimator[name], array)
        rows = loaded.index.search(history.embeddings, 1).rows
        np.testing.assert_array_equal(rows[:, 0], np.arange(40))

    def test_no_estimator(self, tmp_path: Path) -> None:
        """Without arrays from an estimator, none come back."""
        save_index(tmp_path / "index", a_history(), embedder="test/1", models=MODELS)
        assert load_index(tmp_path / "index", **EXPECTED).estimator == {}

    def test_no_history_yet(self, tmp_path: Path) -> None:
        """An exact index of no rows can be saved and loaded."""
        save_index(tmp_path / "index", _empty(), kind="exact",
                   embedder="test/1", models=MODELS)  # fmt: skip
        assert len(load_index(tmp_path / "index", **EXPECTED).index) == 0

    def test_any_models(self, folder: Path) -> None:
        """Who expects no models gets the folder's, by name."""
        loaded = load_index(folder, embedder="test/1", dimension=24)
        assert loaded.manifest.models == MODELS

    def test_same_bytes(self, tmp_path: Path, folder: Path) -> None:
        """The same history gives the same files, to the byte."""
        save_index(tmp_path / "b", a_history(), embedder="test/1", models=MODELS,
                   estimator=ESTIMATOR)  # fmt: skip
        one, other = (
            {path.name: path.read_bytes() for path in root.iterdir()}
            for root in (folder, tmp_path / "b")
        )
        assert one == other
        assert set(one) == {"manifest.json", "embeddings.npy", "outcomes.npz", "index.ann",
                            "estimator.npz"}  # fmt: skip

    def test_replaces_an_index_in_use(self, folder: Path) -> None:
        """A new index takes the old one's place; who has the old one loaded goes on with it."""
        old = load_index(folder, **EXPECTED)
        save_index(folder, a_history(70), embedder="test/1", models=MODELS)
        assert len(load_index(folder, **EXPECTED).index) == 70
        rows = old.index.search(a_history().embeddings, 1).rows[:, 0]
        np.testing.assert_array_equal(rows, np.arange(40))
        assert [path.name for path in folder.parent.iterdir()] == ["index"]


def _empty() -> History:
    return History([], some_vectors(1)[:0], np.empty((0, 2)), np.empty((0, 2)))


class TestSaving:
    def test_failure_leaves_the_old_index(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A failure while writing or putting in place leaves what was there, and no draft."""

        def full(*_: Any) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(manifest_module, "_flush", full)
        with pytest.raises(OSError, match="no space left"):
            save_index(folder, a_history(70), embedder="test/1", models=MODELS)
        monkeypatch.undo()

        def refused(*_: Path) -> Path:
            raise OSError("read-only file system")

        monkeypatch.setattr(manifest_module, "exchanged", refused)
        with pytest.raises(OSError, match="read-only"):
            save_index(folder, a_history(70), embedder="test/1", models=MODELS)
        assert [path.name for path in folder.parent.iterdir()] == ["index"]
        assert load_index(folder, **EXPECTED).manifest.count == 40

    def test_folder_with_other_things(self, tmp_path: Path) -> None:
        """A folder that is no index is never replaced."""
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(ValueError, match="holds something other than an index"):
            save_index(tmp_path, a_history(), embedder="test/1", models=MODELS)
        assert (tmp_path / "letter.txt").read_text() == "dear"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"scores": np.zeros((40, 3))}, r"scores: float64\(40, 3\), but float64\(40, 2\)"),
            ({"costs": np.zeros((40, 2), dtype=np.int64)}, "costs: int64"),
            ({"embeddings": some_vectors(39)}, "40 ids, but embeddings are"),
            ({"ids": ["a\0"] * 40}, "NUL"),
        ],
    )
    def test_history_that_does_not_fit(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        """Arrays of other sizes or types are refused before anything is written."""
        old = a_history()
        fields: dict[str, Any] = {name: getattr(old, name) for name in History.__slots__} | changes
        with pytest.raises(ValueError, match=message):
            save_index(tmp_path / "x", History(**fields), embedder="test/1", models=MODELS)
        assert list(tmp_path.iterdir()) == []

    def test_no_pickle(self, tmp_path: Path) -> None:
        """An estimator's array of objects is refused, as it could only be pickled."""
        estimator: dict[str, Any] = {"names": np.array(["a", None], dtype=object)}
        with pytest.raises(ValueError, match="names would need pickle"):
            save_index(tmp_path / "x", a_history(), embedder="test/1", models=MODELS,
                       estimator=estimator)  # fmt: skip
        assert list(tmp_path.iterdir()) == []


class TestExpectations:
    @pytest.mark.parametrize(
        ("expected", "message"),
        [
            ({"embedder": "bge/1"}, "embedder is 'test/1', but 'bge/1' is needed"),
            ({"dimension": 768}, "dimension is 24, but 768 is needed"),
            ({"models": ["large", "small"]}, r"models is \['small', 'large'\], but"),
            ({"models": ["small"]}, r"but \['small'\] is needed"),
            ({"embedder": "b", "dimension": 3}, r"embedder .*; dimension .*; build it again"),
        ],
    )
    def test_another_index(self, folder: Path, expected: dict[str, Any], message: str) -> None:
        """What differs is named, all of it, with what to do."""
        with pytest.raises(IndexRefused, match=message) as refused:
            load_index(folder, **EXPECTED | expected)
        assert str(folder) in str(refused.value)
        assert "sluice index build" in str(refused.value)


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Damage to manifest.json as JSON."""

    def damage(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    return damage


def _cut(name: str, keep: float) -> Callable[[Path], None]:
    """A file that ends early."""

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return damage


def _flip(name: str) -> Callable[[Path], None]:
    """One bit in the middle."""

    def damage(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)

    return damage


def _rewrite(name: str, write: Callable[[Path], object]) -> Callable[[Path], None]:
    """Other contents under a right checksum: what only the checks of shape and type find."""

    def damage(folder: Path) -> None:
        write(folder / name)
        checksum = manifest_module._checksum(folder / name)
        _edit(lambda manifest: manifest["files"].update({name: checksum}))(folder)

    return damage


def _text(name: str, text: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(text)


def _outcomes(**arrays: Any) -> Callable[[Path], object]:
    """outcomes.npz with some arrays changed, or absent where None."""
    history = a_history()
    all_arrays = {"ids": np.array(history.ids), "scores": history.scores, "costs": history.costs}
    kept = {name: array for name, array in (all_arrays | arrays).items() if array is not None}

    def write(path: Path) -> None:
        np.savez(path, **kept)

    return write


OBJECTS = np.array([{}] * 40, dtype=object)
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, r"there is no manifest\.json"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "there is no manifest"),
    "empty manifest": (_text("manifest.json", b""), r"manifest\.json cannot be read"),
    "half a manifest": (_cut("manifest.json", 0.5), r"manifest\.json cannot be read"),
    "manifest not UTF-8": (_text("manifest.json", b'{"\xff": 1}'), "cannot be read"),
    "manifest not an object": (_text("manifest.json", b"[1]"), "cannot be read.*object"),
    "manifest nested deep": (_text("manifest.json", b"[" * 10**5), "cannot be read"),
    "huge manifest": (_text("manifest.json", b" " * 2_000_000), "larger than 1048576 bytes"),
    "later format": (_edit(lambda m: m.update(format=2, new=1)), "format is 2, but .* reads 1"),
    "no format": (_edit(lambda m: m.pop("format")), "format is None"),
    "missing field": (_edit(lambda m: m.pop("count")), "missing required field `count`"),
    "wrong type": (_edit(lambda m: m.update(dimension="24")), r"got `str` - at `\$.dimension`"),
    "unknown kind": (_edit(lambda m: m.update(index="faiss")), "faiss"),
    "no checksum": (_edit(lambda m: m["files"].pop("index.ann")), r"no checksum of index\.ann"),
    "wrong checksum": (
        _edit(lambda m: m["files"].update({"index.ann": "0" * 64})),
        r"index\.ann is not the file that was written",
    ),
    "count": (_edit(lambda m: m.update(count=41)), r"embeddings\.npy: float32\(40, 24\)"),
    "embeddings of another type": (
        _rewrite("embeddings.npy", lambda path: np.save(path, np.zeros((40, 24)))),
        "float64",
    ),
    "embeddings that need pickle": (
        _rewrite("embeddings.npy", lambda path: np.save(path, OBJECTS, allow_pickle=True)),
        "object|pickle",
    ),
    "scores missing": (_rewrite("outcomes.npz", _outcomes(scores=None)), "scores"),
    "scores of other models": (
        _rewrite("outcomes.npz", _outcomes(scores=np.zeros((40, 3)))),
        r"scores: float64\(40, 3\)",
    ),
    "too few ids": (_rewrite("outcomes.npz", _outcomes(ids=np.array(["a"]))), "ids: "),
    "ids that need pickle": (_rewrite("outcomes.npz", _outcomes(ids=OBJECTS)), "allow_pickle"),
    "outcomes no zip": (
        _rewrite("outcomes.npz", lambda path: path.write_bytes(b"PK\x03\x04 not really")),
        "index folder",
    ),
    "trees of another history": (
        _rewrite("index.ann", lambda path: AnnoyIndex.build(some_vectors(9), path)),
        r"index\.ann holds 9 rows, not 40",
    ),
    "trees of another size": (
        _rewrite("index.ann", lambda path: path.write_bytes(b"x" * 1001)),
        r"no Annoy index of dimension 24",
    ),
}


def _missing(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


for _name in ("embeddings.npy", "outcomes.npz", "index.ann", "estimator.npz"):
    DAMAGE |= {
        f"{_name} missing": (_missing(_name), f"{_name} is missing"),
        f"{_name} cut": (_cut(_name, 0.9), f"{_name} is not the file"),
        f"{_name} empty": (_cut(_name, 0), f"{_name} is not the file"),
        f"{_name} changed": (_flip(_name), f"{_name} is not the file"),
    }


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_refused(folder: Path, kind: str) -> None:
    """Each damage is an IndexRefused that names the folder, the reason and what to do."""
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(IndexRefused, match=message) as refused:
        load_index(folder, **EXPECTED)
    assert str(folder) in str(refused.value)
    assert "build it again with `sluice index build`" in str(refused.value)


class TestReplaced:
    """Indexes that were replaced stay for a while, each under its version."""

    def save(self, folder: Path, rows: int, keep: int) -> str:
        history = a_history(rows)
        return save_index(folder, history, embedder="test/1", models=MODELS, keep=keep).version

    def test_versions_tell_indexes_apart(self, tmp_path: Path, folder: Path) -> None:
        """Other contents have another version, the same have the same."""
        here = load_index(folder, **EXPECTED).manifest.version
        again = save_index(
            tmp_path / "b", a_history(), embedder="test/1", models=MODELS, estimator=ESTIMATOR
        )
        assert again.version == here
        assert len({here, *(self.save(tmp_path / "c", rows, 0) for rows in (5, 6))}) == 3

    def test_the_newest_are_kept(self, tmp_path: Path) -> None:
        """So many as were asked for, and they still load."""
        folder = tmp_path / "index"
        versions = [self.save(folder, rows, keep=2) for rows in (5, 6, 7, 8)]
        there = [older_folder(folder, version).is_dir() for version in versions]
        assert there == [False, True, True, False]
        for rows, version in zip((6, 7), versions[1:3], strict=True):
            older = load_index(older_folder(folder, version), **EXPECTED)
            assert (older.manifest.version, len(older.history)) == (version, rows)

    def test_the_same_once_more(self, tmp_path: Path) -> None:
        """An index that comes back is kept once, as the newest of those replaced."""
        folder = tmp_path / "index"
        versions = [self.save(folder, rows, keep=2) for rows in (5, 6, 5, 7, 8)]
        there = [older_folder(folder, version).is_dir() for version in versions]
        assert there == [True, False, True, True, False]

    def test_none_are_kept(self, tmp_path: Path) -> None:
        """Where nobody asks for them, those that were kept go too."""
        folder = tmp_path / "index"
        for rows, keep in ((5, 1), (6, 1), (7, 0)):
            self.save(folder, rows, keep)
        assert [*tmp_path.glob("index.older/*")] == []
