"""`sluice model`: the models at run time."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.control import ModelControl
from streams.cli import options
from streams.config import Config, load

NAME = click.argument("name")


@click.group()
def group() -> None:
    """List the models; pause, resume or remove one."""


@group.command("list")
@options.config
def list_models(config_file: Path) -> None:
    """Show every configured model: whether it takes queries, and its money."""
    from streams.cli.budget import table

    table(load(config_file), tenants=False)


@group.command()
@NAME
@options.config
def pause(name: str, config_file: Path) -> None:
    """Send no new queries to a model. What is under way settles; queries for it alone wait."""
    _order(load(config_file), name, "pause")


@group.command()
@NAME
@options.config
def resume(name: str, config_file: Path) -> None:
    """Send queries to a paused or removed model again."""
    _order(load(config_file), name, "resume")


@group.command()
@NAME
@options.config
def remove(name: str, config_file: Path) -> None:
    """Take a model out for good: as `pause`; then delete it from sluice.toml."""
    _order(load(config_file), name, "remove")


def _order(config: Config, name: str, action: str) -> None:
    from streams.operate import order

    if name not in config.models:
        known = ", ".join(config.models)
        raise click.ClickException(f"no model {name!r} in the configuration; there are: {known}")
    order(config, ModelControl(name=name, action=action))  # type: ignore[arg-type]  # see callers
    click.echo(f"{name}: {action}")
