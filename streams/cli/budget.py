"""`sluice budget`: the money at run time."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from schemas.control import BudgetControl
from streams.cli import options
from streams.config import NANO, Config, load, to_nano


class Amount(click.ParamType):
    """An amount in the budget's currency."""

    name = "amount"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Read a decimal number."""
        try:
            return Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount, such as 12.50", param, ctx)


@click.group()
def group() -> None:
    """Show the budgets, or change a limit at run time."""


@group.command()
@options.config
def show(config_file: Path) -> None:
    """Show limit, spending and reservations of every model."""
    table(load(config_file))


@group.command("set")
@click.argument("model")
@click.argument("limit", type=Amount())
@options.config
def set_limit(model: str, limit: Decimal, config_file: Path) -> None:
    """Set a model's limit. Below what is spent, the model stops; nothing is taken back."""
    config = load(config_file)
    _order(config, model, to_nano("limit", limit))


@group.command("top-up")
@click.argument("model")
@click.argument("amount", type=Amount())
@options.config
def top_up(model: str, amount: Decimal, config_file: Path) -> None:
    """Add to a model's limit."""
    from streams.operate import standings

    config = load(config_file)
    _known(config, model)
    _order(config, model, standings(config)[model].limit + to_nano("amount", amount))


def table(config: Config) -> None:
    """Print every model's standing, in units of currency."""
    from streams.operate import standings

    shown = Table("model", "status")
    for column in ("limit", "spent", "reserved", "left"):
        shown.add_column(column, justify="right")
    for name, now in standings(config).items():
        left = max(now.limit - now.spent - now.reserved, 0)
        amounts = (now.limit, now.spent, now.reserved, left)
        shown.add_row(name, now.status, *(f"{amount / NANO:,.6f}" for amount in amounts))
    Console().print(shown)


def _known(config: Config, model: str) -> None:
    if model not in config.models:
        known = ", ".join(config.models)
        raise click.ClickException(f"no model {model!r} in the configuration; there are: {known}")


def _order(config: Config, model: str, limit: int) -> None:
    from streams.operate import order

    _known(config, model)
    order(config, BudgetControl(model=model, limit=limit))
    click.echo(f"{model}: limit {limit / NANO:,.9f}")
