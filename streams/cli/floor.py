"""`sluice floor`: quality floors at run time."""

from __future__ import annotations

from pathlib import Path

import click

from schemas.control import FloorControl
from streams.cli import options
from streams.config.settings import Config, load

TENANT = click.option("--tenant", help="Whose floor; without it, that of all without their own.")


@click.group()
def group() -> None:
    """Show the quality floors, or change one at run time (policy `quality-floor`)."""


@group.command()
@options.config
def show(config_file: Path) -> None:
    """Show the usual floor, and those of tenants that have their own."""
    from streams.control.commands import read_registry

    config = _keeping(config_file)
    floors = read_registry(config).floors(config.floors())
    if floors is not None:
        click.echo(f"usual\t{floors.usual:g}")
        for tenant, floor in sorted(floors.tenants.items()):
            click.echo(f"{tenant}\t{floor:g}")


@group.command("set")
@click.argument("floor", type=options.Number(0, 1))
@TENANT
@options.config
def set_floor(floor: float, tenant: str | None, config_file: Path) -> None:
    """Set the mean score, 0 to 1, that answers are to reach from now on."""
    _send(config_file, FloorControl(floor=floor, tenant=tenant))
    click.echo(f"{_whose(tenant)}: floor {floor:g}")


@group.command()
@TENANT
@options.config
def reset(tenant: str | None, config_file: Path) -> None:
    """Return to the floor of the configuration."""
    _send(config_file, FloorControl(tenant=tenant))
    click.echo(f"{_whose(tenant)}: floor as configured")


def _send(config_file: Path, command: FloorControl) -> None:
    from streams.control.commands import send_command

    send_command(_keeping(config_file), command)


def _keeping(config_file: Path) -> Config:
    """Return the configuration, where its policy keeps floors."""
    config = load(config_file)
    if config.floors() is None:
        raise click.ClickException(f"the policy {config.policy.name} keeps no floors")
    return config


def _whose(tenant: str | None) -> str:
    return "usual" if tenant is None else f"tenant {tenant}"
