"""The folder that `sluice index build` writes and router processes load.

manifest.json     what the rest is: embedder, models, sizes, a SHA-256 of each file
embeddings.npy    float32[count, dimension], memory-mapped
outcomes.npz      ids, scores float64[count, models], costs float64[count, models]
index.ann         Annoy's trees, memory-mapped (kind "annoy" only)
estimator.npz     arrays that the estimator gave and gets back (optional)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from router.arrays import Vectors
from router.estimation.history import History
from router.estimation.index.annoy import SEARCH_K, TREES, AnnoyIndex
from router.estimation.index.base import NeighbourIndex
from router.estimation.index.exact import ExactIndex
from router.estimation.index.exchange import exchanged

FORMAT = 1
MANIFEST, EMBEDDINGS, OUTCOMES = "manifest.json", "embeddings.npy", "outcomes.npz"
TREES_FILE, ESTIMATOR = "index.ann", "estimator.npz"
MANIFEST_BYTES = 1_048_576
VERSION_DIGITS = 12
AGAIN = "build it again with `sluice index build`"

Arrays = Mapping[str, NDArray[Any]]


class IndexRefused(ValueError):
    """The folder is not the index that is needed. Says what differs and what to do."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json. `files` gives the SHA-256 of each other file of the folder."""

    format: int
    embedder: str
    dimension: int
    models: list[str]
    count: int
    index: Literal["annoy", "exact"]
    annoy: dict[str, int | str] = {}
    files: dict[str, str]

    @property
    def version(self) -> str:
        """Hexadecimal digits that change with anything in the folder."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:VERSION_DIGITS]


@dataclass(frozen=True, slots=True)
class SavedIndex:
    """What a folder held. The history's embeddings and Annoy's trees are mapped, not read."""

    manifest: Manifest
    history: History
    index: NeighbourIndex
    estimator: dict[str, NDArray[Any]]


def save_index(
    folder: Path,
    history: History,
    *,
    embedder: str,
    models: Sequence[str],
    kind: Literal["annoy", "exact"] = "annoy",
    trees: int = TREES,
    estimator: Arrays | None = None,
    keep: int = 0,
) -> Manifest:
    """Write the folder, whole or not at all; an index folder that is there is replaced.

    keep: so many of those it replaced stay beside it, the newest (`older_folder`). Processes that
    have an old one loaded go on with it. The same history gives the same bytes.
    Raises ValueError for arrays that do not fit together, for a folder with other things in it,
    and OSError where it cannot be written.
    """
    _check_history(history, models)
    if folder.exists() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something other than an index; name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        embeddings = _save_history(draft, history)
        if kind == "annoy":
            AnnoyIndex.build(embeddings, draft / TREES_FILE, trees=trees)
        if estimator is not None:
            _savez(draft / ESTIMATOR, estimator)
        manifest = Manifest(
            format=FORMAT,
            embedder=embedder,
            dimension=embeddings.shape[1],
            models=list(models),
            count=len(history),
            index=kind,
            annoy={"trees": trees, "metric": "angular"} if kind == "annoy" else {},
            files={path.name: _checksum(path) for path in sorted(draft.iterdir())},
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (draft / MANIFEST).write_bytes(text + b"\n")
        for path in draft.iterdir():
            _flush(path)
        draft.chmod(0o755)
        _put_in_place(draft, folder, keep)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def _save_history(folder: Path, history: History) -> Vectors:
    embeddings = np.ascontiguousarray(history.embeddings, dtype=np.float32)
    np.save(folder / EMBEDDINGS, embeddings, allow_pickle=False)
    ids = np.array(list(history.ids), dtype=np.str_)
    _savez(folder / OUTCOMES, {"ids": ids, "scores": history.scores, "costs": history.costs})
    return embeddings


def older_folder(folder: Path, version: str) -> Path:
    """Where an index lies that was built into `folder` and has been replaced, if it was kept."""
    return folder.with_name(f"{folder.name}.older") / version


def load_index(
    folder: Path,
    *,
    embedder: str,
    dimension: int,
    models: Sequence[str] | None = None,
    search_k: int = SEARCH_K,
    threads: int = 1,
) -> SavedIndex:
    """Load a folder that was built with this embedder and these models, in this order.

    Without `models` any are taken: `manifest.models` names the columns. Raises IndexRefused for
    any difference: in what is expected, a missing or changed file, arrays of other sizes.
    """
    manifest = read_manifest(folder)
    differences = [
        f"{what} is {found!r}, but {wanted!r} is needed"
        for what, found, wanted in (
            ("embedder", manifest.embedder, embedder),
            ("dimension", manifest.dimension, dimension),
            ("list of models", manifest.models, manifest.models if models is None else [*models]),
        )
        if found != wanted
    ]
    if differences:
        raise _refused(folder, "; ".join(differences))
    wanted_files = {EMBEDDINGS, OUTCOMES} | ({TREES_FILE} if manifest.index == "annoy" else set())
    if unlisted := wanted_files - manifest.files.keys():
        raise _refused(folder, f"{MANIFEST} lists no checksum of {', '.join(sorted(unlisted))}")
    if ESTIMATOR in manifest.files:
        wanted_files.add(ESTIMATOR)
    for name in sorted(wanted_files):
        _check_file(folder, name, manifest.files[name])
    try:
        return _load(folder, manifest, search_k, threads)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _refused(folder, str(error)) from error


def read_manifest(folder: Path) -> Manifest:
    """manifest.json alone, without a look at the other files. Raises IndexRefused."""
    path = folder / MANIFEST
    if not path.is_file():
        raise _refused(folder, f"there is no {MANIFEST}")
    if path.stat().st_size > MANIFEST_BYTES:
        raise _refused(folder, f"{MANIFEST} is larger than {MANIFEST_BYTES} bytes")
    text = path.read_bytes()
    try:
        # The format first, alone: another one may have other fields.
        found = msgspec.json.decode(text, type=dict[str, Any]).get("format")
        if found != FORMAT:
            raise _refused(folder, f"format is {found!r}, but this version reads {FORMAT}")
        return msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(folder, f"{MANIFEST} cannot be read: {error}") from error


def _load(folder: Path, manifest: Manifest, search_k: int, threads: int) -> SavedIndex:
    shape = (manifest.count, manifest.dimension)
    mapped = np.load(folder / EMBEDDINGS, mmap_mode="r", allow_pickle=False)
    embeddings = _shaped(EMBEDDINGS, np.asarray(mapped), shape, np.float32)
    outcomes = _loadz(folder / OUTCOMES)
    ids = _shaped("ids", outcomes["ids"], shape[:1], np.str_)
    table = (manifest.count, len(manifest.models))
    scores = _shaped("scores", outcomes["scores"], table, np.float64)
    costs = _shaped("costs", outcomes["costs"], table, np.float64)
    index: NeighbourIndex
    if manifest.index == "annoy":
        index = AnnoyIndex(folder / TREES_FILE, manifest.dimension, search_k, threads)
        if len(index) != manifest.count:
            raise ValueError(f"{TREES_FILE} holds {len(index)} rows, not {manifest.count}")
    else:
        index = ExactIndex(embeddings)
    estimator = _loadz(folder / ESTIMATOR) if ESTIMATOR in manifest.files else {}
    return SavedIndex(manifest, History(ids.tolist(), embeddings, scores, costs), index, estimator)


def _check_history(history: History, models: Sequence[str]) -> None:
    table = (len(history), len(models))
    for what, array in (("scores", history.scores), ("costs", history.costs)):
        _shaped(f"the history's {what}", array, table, np.float64)
    if history.embeddings.ndim != 2 or len(history.embeddings) != len(history):
        raise ValueError(f"{len(history)} ids, but embeddings are {history.embeddings.shape}")
    if any(query.endswith("\0") for query in history.ids):
        raise ValueError("an id ends with a NUL character, which cannot be stored")


def _check_file(folder: Path, name: str, checksum: str) -> None:
    path = folder / name
    if not path.is_file():
        raise _refused(folder, f"{name} is missing")
    if _checksum(path) != checksum:
        raise _refused(folder, f"{name} is not the file that was written (its checksum differs)")


def _shaped(what: str, array: NDArray[Any], shape: tuple[int, ...], kind: type) -> NDArray[Any]:
    if array.shape != shape or not np.issubdtype(array.dtype, kind):
        raise ValueError(
            f"{what}: {array.dtype}{array.shape}, but {kind.__name__}{shape} is needed"
        )
    return array


def _savez(path: Path, arrays: Arrays) -> None:
    named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    if objects := [name for name, array in named.items() if array.dtype.hasobject]:
        raise ValueError(f"{path.name}: {', '.join(objects)} would need pickle")
    np.savez(path, **named)


def _loadz(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored.items())


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _put_in_place(draft: Path, folder: Path, keep: int) -> None:
    """Exchange the two, so that at every moment one of them is there; a kill leaves either."""
    if not folder.exists():
        draft.rename(folder)
        return
    aside = exchanged(draft, folder)
    if keep and (aside / MANIFEST).is_file():
        _keep(aside, folder)
    else:
        shutil.rmtree(aside)
    for older in _older(folder)[keep:]:
        shutil.rmtree(older)


def _keep(aside: Path, folder: Path) -> None:
    kept = older_folder(folder, read_manifest(aside).version)
    kept.parent.mkdir(exist_ok=True)
    if kept.exists():
        shutil.rmtree(kept)
    aside.rename(kept)
    (kept / MANIFEST).touch()  # replaced now: the newest of those that were


def _older(folder: Path) -> list[Path]:
    """The folders that were replaced and are kept, the newest first."""
    found = older_folder(folder, "any").parent.glob(f"*/{MANIFEST}")
    return [path.parent for path in sorted(found, key=lambda path: -path.stat().st_mtime_ns)]


def _refused(folder: Path, reason: str) -> IndexRefused:
    return IndexRefused(f"index folder {folder}: {reason}; {AGAIN}")
