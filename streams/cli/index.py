"""`sluice index`: the folder of historical queries that router processes load."""

from __future__ import annotations

from pathlib import Path

import click

from router.estimation.index.manifest import MANIFEST
from router.evaluation.datasets import Dataset, joined, read_jsonl
from streams.cli import options
from streams.config.settings import load
from streams.learn.building import drafted, newest


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
@options.most
@options.keep
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
    whole = joined([read_jsonl(history) for history in histories])
    dataset = newest(whole, most)
    if len(dataset) < len(whole):
        left = len(whole) - len(dataset)
        click.echo(f"left out: the first {left} queries (--most {most})", err=True)
    dataset = _of_models(dataset, list(config.models))
    try:
        with click.progressbar(length=2 * len(dataset), label="embedding, then fitting") as bar:
            draft = drafted(config, dataset, bar.update)
        click.echo(f"writing {folder}", err=True)
        manifest = draft.write(config, keep, folder)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"{folder}: index {manifest.version}, {manifest.count} queries, "
        f"{len(manifest.models)} models, {manifest.dimension} dimensions, "
        f"{manifest.embedder}, {manifest.index}"
    )


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
