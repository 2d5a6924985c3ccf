"""Neighbour indexes: exact, annoy; and their folder."""

from router.estimation.index.annoy import AnnoyIndex
from router.estimation.index.base import NO_ROW, NeighbourIndex, Neighbours
from router.estimation.index.exact import ExactIndex
from router.estimation.index.manifest import (
    IndexRefused,
    Manifest,
    SavedIndex,
    load_index,
    save_index,
)

__all__ = [
    "NO_ROW",
    "AnnoyIndex",
    "ExactIndex",
    "IndexRefused",
    "Manifest",
    "NeighbourIndex",
    "Neighbours",
    "SavedIndex",
    "load_index",
    "save_index",
]
