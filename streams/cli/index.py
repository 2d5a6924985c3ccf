"""`sluice index`: the folder of historical queries that router processes load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from router.arrays import Vectors
from router.datasets import Dataset, read_jsonl
from router.embedders import Embedder, make_embedder
from router.estimator import Estimator
from router.index.exact import ExactIndex
from router.index.manifest import save_index
from streams.cli import options
from streams.config import load

BATCH = 512
"""Texts that are embedded at a time, between two moves of the progress bar."""


@click.group()
def group() -> None:
    """Build the index of historical queries."""


@group.command()
@click.option(
    "--history",
    type=options.FILE,
    required=True,
    help="JSON lines, plain or .gz: id, prompt, scores and cost_usd of each model.",
)
@click.option(
    "--out", type=options.FOLDER, help="Folder to write. [default: index.path of the configuration]"
)
@options.config
def build(history: Path, out: Path | None, config_file: Path) -> None:
    """Embed a history and index it for the configured embedder and models.

    Replaces an index that is there; running routers keep the one they have loaded.
    """
    config = load(config_file)
    folder = out or config.index.path
    dataset = _of_models(read_jsonl(history), list(config.models))
    embedder = make_embedder(config.embedder.kind, **config.embedder.arguments())
    with click.progressbar(
        _batches(dataset, embedder), -(-len(dataset) // BATCH), "embedding"
    ) as batches:
        vectors: Vectors = np.concatenate(list(batches))
    outcomes = dataset.history(vectors)
    click.echo("choosing the number of neighbours", err=True)
    estimator = Estimator.fit(outcomes, ExactIndex(vectors), dataset.prompts)
    click.echo(f"writing {folder}", err=True)
    try:
        manifest = save_index(
            folder,
            outcomes,
            embedder=embedder.name,
            models=dataset.models,
            kind=config.index.kind,
            trees=config.index.trees,
            estimator=estimator.arrays(),
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder}: {manifest.count} queries, {len(manifest.models)} models, "
        f"{manifest.dimension} dimensions, {manifest.embedder}, {manifest.index}"
    )


def _batches(dataset: Dataset, embedder: Embedder) -> Iterator[Vectors]:
    for start in range(0, len(dataset), BATCH):
        yield embedder.encode(dataset.prompts[start : start + BATCH])


def _of_models(dataset: Dataset, configured: list[str]) -> Dataset:
    """The history of the configured models, in their order. Raises ClickException for one that
    the history does not know."""
    if unknown := [model for model in configured if model not in dataset.models]:
        raise click.ClickException(
            f"the history has no outcomes of {', '.join(unknown)}; it has: "
            f"{', '.join(dataset.models)}. Name the configuration's models as the history does"
        )
    if left := [model for model in dataset.models if model not in configured]:
        click.echo(f"left out, as not configured: {', '.join(left)}", err=True)
    return dataset.with_models(configured)
