"""The client without an event loop."""

from __future__ import annotations

import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.client import Answer, Client, ModelFailed
from streams.config.settings import Config
from tests.streams.client.test_asynchronous import by_prompt
from tests.support.stand_in import StandIn


def test_it_blocks(deployed: Config, embedded_broker: EmbeddedBroker) -> None:
    """Every way to ask works from a program without a loop."""
    with StandIn(embedded_broker, deployed, by_prompt), Client(deployed) as client:
        assert client.ask("hello").text == "hello"
        id = client.submit("again")
        assert client.wait(id).text == "again"
        with pytest.raises(ModelFailed):
            client.ask("fail")
        endings = list(client.ask_all(["a", "b", "fail"]))
        assert sorted(each.text for each in endings if isinstance(each, Answer)) == ["a", "b"]
        assert len(endings) == 3
