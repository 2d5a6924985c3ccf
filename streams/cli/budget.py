"""`sluice budget`: the money at run time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from router.budget.ledger import account_key, account_words, owner
from schemas.control import BudgetControl
from streams.cli import options
from streams.cli.model import check_known
from streams.config.settings import NANO, Config, load, to_nano

TENANT = click.option("--tenant", help="Whose limit for the model; without it, that of all.")


@click.group()
def group() -> None:
    """Show the budgets, or change a limit at run time."""


@group.command()
@options.config
def show(config_file: Path) -> None:
    """Show limit, spending and reservations of every model, and of tenants with limits."""
    table(load(config_file))


@group.command("set")
@click.argument("model")
@click.argument("limit", type=options.Amount())
@TENANT
@options.config
def set_limit(model: str, limit: Decimal, tenant: str | None, config_file: Path) -> None:
    """Set a model's limit, or a tenant's for it, in the window of the model's budget.

    Below what is spent, the model stops (for that tenant); nothing is taken back.
    """
    config = load(config_file)
    _order(config, account_key(model, tenant), to_nano("limit", limit))


@group.command("top-up")
@click.argument("model")
@click.argument("amount", type=options.Amount())
@TENANT
@options.config
def top_up(model: str, amount: Decimal, tenant: str | None, config_file: Path) -> None:
    """Add to a model's limit, or to a tenant's for it."""
    from streams.control.commands import standings

    config, account = load(config_file), account_key(model, tenant)
    check_known(config, model)
    now = standings(config).get(account)
    if now is None:
        raise click.ClickException(f"{account_words(account)} has no limit to add to: set one")
    _order(config, account, now.limit + to_nano("amount", amount))


def table(config: Config, tenants: bool = True) -> None:
    """Print the standing of every model, and of tenants too, in units of currency."""
    from streams.control.commands import standings

    shown = Table("model", "status")
    for column in ("limit", "spent", "reserved", "left"):
        shown.add_column(column, justify="right")
    for name, now in standings(config).items():
        if owner(name)[1] is not None and not tenants:
            continue
        amounts = (now.limit, now.spent, now.reserved, now.left)
        words = (f"{amount / NANO:,.6f}" for amount in amounts)
        status = now.status if now.trial is None else f"{now.status}, tries {now.trial / NANO:,.6f}"
        shown.add_row(account_words(name), status, *words)
    Console().print(shown)


def _order(config: Config, account: str, limit: int) -> None:
    from streams.control.commands import order

    model, tenant = owner(account)
    check_known(config, model)
    order(config, BudgetControl(model=model, tenant=tenant, limit=limit))
    click.echo(f"{account_words(account)}: limit {limit / NANO:,.9f}")
