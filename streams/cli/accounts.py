"""Helpers of `sluice model` and `sluice budget`: known models, and the table of accounts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from router.budget.ledger import account_words, owner
from schemas.fields import NANO
from streams.cli import options
from streams.config.settings import Config

if TYPE_CHECKING:
    from streams.control.commands import AccountStatus


def show_accounts(
    config: Config, json_out: Path | None, *, tenants: bool = True, removed: bool = True
) -> None:
    """Show the status of accounts, each in its unit: as a table, or as rows of JSON.

    Args:
        config: the deployment.
        json_out: where `options.write_json` writes the rows; None for no JSON.
        tenants: whether tenants' accounts are shown too.
        removed: whether models are shown that are removed and have settled everything.
    """
    from streams.control.commands import account_statuses

    accounts = {
        name: now
        for name, now in account_statuses(config).items()
        if (tenants or owner(name)[1] is None) and (removed or not now.gone)
    }
    if json_out != options.STDOUT:
        _print(accounts)
    options.write_json(json_out, [_row(name, now) for name, now in accounts.items()])


def _row(name: str, now: AccountStatus) -> dict[str, object]:
    """Return an account as plain values, amounts in its unit. `model` is the limit's name."""
    model, tenant = owner(name)
    return {
        "name": model,
        "model": model,
        "tenant": tenant,
        "status": now.status,
        "unit": now.unit,
        "limit": _amount(now, now.limit),
        "spent": _amount(now, now.spent),
        "reserved": _amount(now, now.reserved),
        "left": _amount(now, now.left),
        "trial": None if now.trial is None else _amount(now, now.trial),
    }


def _amount(now: AccountStatus, amount: int) -> float | int:
    """Return an amount in units of currency, tokens or requests."""
    return amount / NANO if now.unit == "currency" else amount


def _words(now: AccountStatus, amount: int) -> str:
    return f"{amount / NANO:,.6f}" if now.unit == "currency" else f"{amount:,}"


def _print(accounts: Mapping[str, AccountStatus]) -> None:
    others = any(now.unit != "currency" for now in accounts.values())
    shown = Table("limit", "status", *(["unit"] if others else []))
    for column in ("limit", "spent", "reserved", "left"):
        shown.add_column(column, justify="right", overflow="fold")  # no digit is left out
    for name, now in accounts.items():
        amounts = (now.limit, now.spent, now.reserved, now.left)
        words = (_words(now, amount) for amount in amounts)
        status = now.status if now.trial is None else f"{now.status}, tries {now.trial / NANO:,.6f}"
        shown.add_row(account_words(name), status, *([now.unit] if others else []), *words)
    options.console(120).print(shown)


def check_known(config: Config, name: str) -> None:
    """Raise ClickException for a model that neither the configuration has nor a command added."""
    if name in config.models:
        return
    from streams.control.commands import read_registry

    known = [*config.models, *read_registry(config).added]
    if name not in known:
        raise click.ClickException(f"no model {name!r}; there are: {', '.join(known)}")


def check_limit(config: Config, name: str) -> None:
    """Raise ClickException for what is neither a limit of the configuration nor a model's."""
    limits = config.limit_set().index
    if name in limits:
        return
    from streams.control.commands import read_registry

    known = [*limits, *read_registry(config).added]
    if name not in known:
        raise click.ClickException(f"no model or limit {name!r}; there are: {', '.join(known)}")
