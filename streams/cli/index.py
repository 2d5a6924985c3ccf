"""`sluice index`: the folder of historical queries that router processes load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from router.arrays import Vectors
from router.estimation.embedders import Embedder, make_embedder
from router.estimation.estimator import Estimator
from router.estimation.index.exact import ExactIndex
from router.estimation.index.manifest import MANIFEST, save_index
from router.evaluation.datasets import Dataset, joined, read_jsonl
from streams.cli import options
from streams.config.settings import load

BATCH = 512
"""Texts that are embedded at a time, between two moves of the progress bar."""


@click.group()
def group() -> None:
    """Build the index of historical queries."""


@group.command()
@click.option(
    "--history",
    "histories",
    type=options.FILE,
    required=True,
    multiple=True,
    help="JSON lines, plain or .gz: id, prompt, scores and cost_usd of some models. Give several "
    "to join them; of an id that comes twice the last line counts.",
)
@click.option(
    "--most",
    type=click.IntRange(2),
    default=50_000,
    show_default=True,
    help="Queries that are used: the last ones, where the histories hold more.",
)
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Replaced indexes that stay beside the new one, so that `sluice replay --verify` can take "
    "their decisions again.",
)
@click.option(
    "--out", type=options.FOLDER, help="Folder to write. [default: index.path of the configuration]"
)
@click.option(
    "--if-missing",
    is_flag=True,
    help="Leave an index that is there as it is, also one of another history.",
)
@options.config
def build(
    histories: tuple[Path, ...],
    most: int,
    keep: int,
    out: Path | None,
    if_missing: bool,
    config_file: Path,
) -> None:
    """Embed a history and index it for the configured embedder and models.

    Replaces an index that is there, while routers run: they take the new one over within seconds.
    `sluice history` writes what the log has to add to a history.
    """
    config = load(config_file)
    folder = out or config.index.path
    if if_missing and (folder / MANIFEST).exists():
        click.echo(f"{folder}: there is an index, and it stays as it is (--if-missing)")
        return
    dataset = _newest(joined([read_jsonl(history) for history in histories]), most)
    dataset = _of_models(dataset, list(config.models))
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
            keep=keep,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder}: index {manifest.version}, {manifest.count} queries, "
        f"{len(manifest.models)} models, {manifest.dimension} dimensions, "
        f"{manifest.embedder}, {manifest.index}"
    )


def _batches(dataset: Dataset, embedder: Embedder) -> Iterator[Vectors]:
    for start in range(0, len(dataset), BATCH):
        yield embedder.encode(dataset.prompts[start : start + BATCH])


def _newest(dataset: Dataset, most: int) -> Dataset:
    if len(dataset) <= most:
        return dataset
    click.echo(f"left out: the first {len(dataset) - most} queries (--most {most})", err=True)
    return dataset.take(np.arange(len(dataset) - most, len(dataset)))


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
