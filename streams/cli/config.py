"""`sluice config`: say whether a configuration can be used, and what it comes to."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.options import FILE
from streams.cli.planning import planned
from streams.config.settings import load


@click.group()
def group() -> None:
    """Check a configuration file."""


@group.command()
@click.argument("file", type=FILE, envvar="SLUICE_CONFIG", default=Path("sluice.toml"))
def validate(file: Path) -> None:
    """Read FILE as all commands do, the environment included.

    Names the file, the key and the rule of the first value that cannot be used, and exits with 1.
    """
    config = load(file)
    topics = planned(config)
    models = len(config.models)
    click.echo(
        f"{file}: valid; {models} model{'s' if models > 1 else ''}, {len(topics)} topics, "
        f"policy {config.policy.name}, broker {config.broker.servers}"
    )
