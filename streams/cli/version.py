"""`sluice version`: what a bug report needs."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

SHOWN = (
    "sluice-llm",
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "annoy",
    "numpy",
    "scipy",
)


@click.command()
def command() -> None:
    """Show the versions of Sluice and what it runs on."""
    for package in SHOWN:
        click.echo(f"{package} {version(package)}")
    click.echo(f"Python {platform.python_version()} on {platform.platform()}")
