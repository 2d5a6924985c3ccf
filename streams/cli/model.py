"""`sluice model`: the models at run time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import click

from schemas import Window
from schemas.control import ModelControl
from streams.cli import options
from streams.cli.accounts import check_known, show_accounts
from streams.config.settings import Config, load, to_nano

NAME = click.argument("name")


@click.group()
def group() -> None:
    """List the models; add, pause, resume or remove one."""


@group.command("list")
@options.config
@click.option("--all", "removed", is_flag=True, help="Also removed models with nothing reserved.")
@options.json_output("Write the rows to FILE, amounts in units of currency.")
def list_models(config_file: Path, removed: bool, json_out: Path | None) -> None:
    """Show every model: whether it takes queries, and its money.

    The statuses are those of `sluice budget show`. A removed model is listed until everything that
    was reserved for it has settled.
    """
    show_accounts(load(config_file), json_out, tenants=False, removed=removed)


@group.command(context_settings={"show_default": True})
@NAME
@click.option("--input-price", type=options.Amount(), required=True, help="Per million tokens.")
@click.option("--output-price", type=options.Amount(), required=True, help="Per million tokens.")
@click.option("--limit", type=options.Amount(), required=True, help="For one window.")
@click.option(
    "--window", type=click.Choice(get_args(Window)), default="none", help="Of that limit."
)
@click.option("--start", callback=options.moment, help="Of the first window (ISO 8601).")
@click.option("--time-zone", default="UTC", help="By whose calendar windows begin: an IANA name.")
@click.option("--carry-over", is_flag=True, help="Let a window leave its rest to the next one.")
@click.option("--max-output-tokens", default=4096, help="The longest answer.")
@click.option("--context", default=128_000, help="Tokens of prompt and answer together.")
@options.config
def add(
    name: str,
    input_price: Decimal,
    output_price: Decimal,
    limit: Decimal,
    config_file: Path,
    **terms: Any,
) -> None:
    """Add a model that the configuration does not have; start its workers.

    It has no history, so it is only tried, with a part of its limit ([newcomers]); to be more, it
    must be in sluice.toml and in the index that sluice index build makes.
    """
    from streams.control.commands import add_model

    config = load(config_file)
    try:
        message = ModelControl(
            name=name,
            action="add",
            input_price=to_nano("input_price", input_price),
            output_price=to_nano("output_price", output_price),
            limit=to_nano("limit", limit),
            **terms,
        )
        add_model(config, message)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    tried = f"{config.newcomers.budget:.0%} of its limit"
    click.echo(f"{name}: added; it is tried with {tried} until an index knows it")


@group.command()
@NAME
@options.config
def pause(name: str, config_file: Path) -> None:
    """Send no new queries to a model. What is under way settles; queries for it alone wait."""
    _send(load(config_file), name, "pause")


@group.command()
@NAME
@options.config
def resume(name: str, config_file: Path) -> None:
    """Send queries to a paused or removed model again."""
    _send(load(config_file), name, "resume")


@group.command()
@NAME
@options.config
def remove(name: str, config_file: Path) -> None:
    """Remove a model for good: as `pause`; then delete it from sluice.toml."""
    _send(load(config_file), name, "remove")


def _send(config: Config, name: str, action: str) -> None:
    from streams.control.commands import send_command

    check_known(config, name)
    send_command(config, ModelControl(name=name, action=action))  # type: ignore[arg-type]  # see callers
    click.echo(f"{name}: {action}")
