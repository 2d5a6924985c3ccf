"""Whether a new index is to be taken: only where it does not do worse than the one in use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router.arrays import Ints
from router.estimation.comparison import Gain, compare
from router.estimation.estimator import Estimates, Estimator
from router.estimation.index.manifest import MANIFEST, IndexRefused, SavedIndex, load_index
from streams.config.settings import Config
from streams.learn.building import Draft
from streams.routing.prior import BEGINS


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the comparison. gain: None where there is nothing to compare with."""

    taken: bool
    words: str
    gain: Gain | None = None


def judged(config: Config, draft: Draft) -> Judgement:
    """Compare a draft with the index in place, on the draft's own sample of its history.

    Every query is estimated without its own outcome, by both: in the index in place it is left out
    where it stands in its history, too.

    Args:
        config: Names the folder.
        draft: What may be taken.
    """
    if not (config.index.path / MANIFEST).is_file():
        return Judgement(True, "there was no index")
    try:
        saved = load_index(
            config.index.path,
            embedder=draft.embedder.name,
            dimension=draft.embedder.dimension,
            models=draft.data.models,
            search_k=config.index.search_k,
        )
    except IndexRefused as error:
        return Judgement(True, f"the one in place cannot be used ({error})")
    rows = _comparable(saved, draft)
    new = draft.estimator.leave_one_out(rows)
    old = _estimates(saved, draft, rows)
    gain = compare(
        (new.quality, old.quality),
        (new.cost, old.cost),
        draft.history.scores[rows],
        draft.history.costs[rows],
    )
    words = (
        f"{100 * gain.part:+.1f} % ± {100 * gain.doubt:.1f} of the value that index "
        f"{saved.manifest.version} has on {gain.rows} queries"
    )
    return Judgement(not gain.worse, words, gain)


def _comparable(saved: SavedIndex, draft: Draft) -> Ints:
    """Return the rows of the draft's sample that both can estimate without their own outcome.

    Beliefs are left out: the index of priors knows them by heart. So are queries that the index in
    place has learned and that are not of its sample.
    """
    sample = {saved.history.ids[row] for row in saved.estimator["rows"]}
    learned = set(saved.history.ids) - sample
    rows = draft.estimator.fitted.rows
    ids = [draft.data.ids[row] for row in rows]
    kept = [not id.startswith(BEGINS) and id not in learned for id in ids]
    return rows[np.array(kept, dtype=np.bool_)]


def _estimates(saved: SavedIndex, draft: Draft, rows: Ints) -> Estimates:
    """Return the index in place's estimates of the draft's rows, none by its own outcome."""
    estimator = Estimator.from_arrays(saved.estimator, saved.history, saved.index)
    prompts = [draft.data.prompts[row] for row in rows]
    if not len(rows):
        return draft.estimator.leave_one_out(rows)
    found = estimator.estimate(draft.history.embeddings[rows], prompts)
    place = {saved.history.ids[row]: int(row) for row in estimator.fitted.rows}
    shared = [i for i, row in enumerate(rows) if draft.data.ids[row] in place]
    if not shared:
        return found
    known = np.array([place[draft.data.ids[rows[i]]] for i in shared], dtype=np.int64)
    order = np.argsort(known, kind="stable")
    others = estimator.leave_one_out(known)
    return found.replaced(np.array(shared, dtype=np.int64)[order], others)
