"""Neighbour indexes: exact, annoy, live (one of them plus recent history); and their folder."""

from router.index.annoy import AnnoyIndex
from router.index.base import NO_ROW, NeighbourIndex, Neighbours
from router.index.exact import ExactIndex
from router.index.live import LiveIndex, annoy_builder, exact_builder
from router.index.manifest import IndexRefused, Manifest, SavedIndex, load_index, save_index

__all__ = [
    "NO_ROW",
    "AnnoyIndex",
    "ExactIndex",
    "IndexRefused",
    "LiveIndex",
    "Manifest",
    "NeighbourIndex",
    "Neighbours",
    "SavedIndex",
    "annoy_builder",
    "exact_builder",
    "load_index",
    "save_index",
]
