"""`sluice budget`: the money at run time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from router.budget.ledger import account_key, account_words, owner
from schemas.control import BudgetControl
from schemas.fields import NANO
from streams.cli import options
from streams.cli.accounts import check_known, show_accounts
from streams.config.limits import to_nano
from streams.config.settings import Config, load

TENANT = click.option("--tenant", help="Whose limit for the model; without it, that of all.")


@click.group()
def group() -> None:
    """Show the budgets, or change a limit at run time."""


@group.command()
@options.config
@options.json_output("Write the rows to FILE, amounts in units of currency.")
def show(config_file: Path, json_out: Path | None) -> None:
    """Show limit, spending and reservations of every model, and of tenants with limits.

    A model is open, new (not in an index yet), low (less is left than its longest answer is
    reserved at), spent (nothing is left that a query could reserve), paused or removed.
    """
    show_accounts(load(config_file), json_out)


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
    _set_limit(config, account_key(model, tenant), to_nano("limit", limit))


@group.command("top-up")
@click.argument("model")
@click.argument("amount", type=options.Amount())
@TENANT
@options.config
def top_up(model: str, amount: Decimal, tenant: str | None, config_file: Path) -> None:
    """Add to a model's limit, or to a tenant's for it."""
    from streams.control.commands import account_statuses

    config, account = load(config_file), account_key(model, tenant)
    check_known(config, model)
    now = account_statuses(config).get(account)
    if now is None:
        raise click.ClickException(f"{account_words(account)} has no limit to add to: set one")
    _set_limit(config, account, now.limit + to_nano("amount", amount))


def _set_limit(config: Config, account: str, limit: int) -> None:
    from streams.control.commands import send_command

    model, tenant = owner(account)
    check_known(config, model)
    send_command(config, BudgetControl(model=model, tenant=tenant, limit=limit))
    click.echo(f"{account_words(account)}: limit {limit / NANO:,.9f}")
