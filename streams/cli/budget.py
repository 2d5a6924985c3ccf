"""`sluice budget`: the money at run time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import click

from router.budget.ledger import account_key, account_words, owner
from schemas.control import BudgetControl
from schemas.fields import NANO
from schemas.invalid import Invalid
from streams.cli import options
from streams.cli.accounts import check_limit, show_accounts
from streams.config.limits import to_whole
from streams.config.settings import Config, load

TENANT = click.option("--tenant", help="Whose part of the limit; without it, the limit itself.")


@click.group()
def group() -> None:
    """Show the budgets, or change a limit at run time."""


@group.command()
@options.config
@options.json_output("Write the rows to FILE, amounts in units of currency.")
def show(config_file: Path, json_out: Path | None) -> None:
    """Show amount, spending and reservations of every limit, and of tenants with limits.

    A limit is of a model (by its name), or one of those in the configuration. It is open, new (its
    model is in no index yet), low (less is left than the longest answer is reserved at), spent
    (nothing is left that a query could reserve), or its model is paused or removed.
    """
    show_accounts(load(config_file), json_out)


@group.command("set")
@click.argument("limit")
@click.argument("amount", type=options.Amount())
@TENANT
@options.config
def set_limit(limit: str, amount: Decimal, tenant: str | None, config_file: Path) -> None:
    """Set the amount of a LIMIT or of a model's own, or a tenant's part of it.

    It is in the limit's unit, for one of its windows. Below what is spent, nothing more goes (for
    that tenant); nothing is taken back.
    """
    config = load(config_file)
    _set_limit(config, account_key(limit, tenant), _whole(config, limit, amount))


@group.command("top-up")
@click.argument("limit")
@click.argument("amount", type=options.Amount())
@TENANT
@options.config
def top_up(limit: str, amount: Decimal, tenant: str | None, config_file: Path) -> None:
    """Add to the amount of a LIMIT or of a model's own, or to a tenant's part of it."""
    from streams.control.commands import account_statuses

    config, account = load(config_file), account_key(limit, tenant)
    check_limit(config, limit)
    now = account_statuses(config).get(account)
    if now is None:
        raise click.ClickException(f"{account_words(account)} has no limit to add to: set one")
    _set_limit(config, account, now.limit + _whole(config, limit, amount))


def _whole(config: Config, limit: str, amount: Decimal) -> int:
    """Return an amount in nano-units, tokens or requests, as the limit counts."""
    unit = config.limit_set().unit_of(limit)
    try:
        return to_whole("amount", amount, unit)
    except Invalid as error:
        raise click.ClickException(error.reason) from None


def _set_limit(config: Config, account: str, limit: int) -> None:
    from streams.control.commands import send_command

    name, tenant = owner(account)
    check_limit(config, name)
    send_command(config, BudgetControl(model=name, tenant=tenant, limit=limit))
    unit = config.limit_set().unit_of(name)
    amount = f"{limit / NANO:,.9f}" if unit == "currency" else f"{limit:,} {unit}"
    click.echo(f"{account_words(account)}: limit {amount}")
