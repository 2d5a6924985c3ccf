"""Neighbour indexes: exact, annoy; and their folder."""

from router.index.annoy import AnnoyIndex
from router.index.base import NO_ROW, NeighbourIndex, Neighbours
from router.index.exact import ExactIndex
from router.index.manifest import IndexRefused, Manifest, SavedIndex, load_index, save_index

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
