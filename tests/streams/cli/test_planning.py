"""The topics that a configuration asks for."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.cli.planning import planned, require
from streams.config.settings import load


def test_names_that_kafka_does_not_take_are_refused(config: Path) -> None:
    """The topic is named."""
    model = "m" * 250
    config.write_text(
        config.read_text() + f'[models.{model}]\ninput_price = "1"\noutput_price = "2"\n'
    )
    with pytest.raises(click.ClickException, match="shorten the prefix or the model's name"):
        planned(load(config))


def test_partitions_that_can_be_used(config: Path, embedded_broker: EmbeddedBroker) -> None:
    """As many as all shared topics have; missing topics are named."""
    settings = load(config, {"SLUICE_BROKER": embedded_broker.servers})
    with pytest.raises(click.ClickException, match="is missing"):
        require(settings)
    topics = planned(settings)
    counts = {topic.name: 5 if topic.shared else topic.partitions for topic in topics}
    embedded_broker.create(counts)
    assert require(settings) == 5
