"""The drill of docs/how-to/deploy.md: an alert fires, the page shows why, one command mends it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.fields import NANO
from streams.brokers.kafka import KafkaServer, free_port
from tests.e2e.test_page import opened, serve
from tests.support.browser import CHROMIUM, browser
from tests.support.prometheus import Prometheus, prometheus
from tests.support.system import System


def fires(server: Prometheus, name: str, **labels: str) -> bool:
    """Whether an alert fires with these labels, and perhaps more."""
    return any(labels.items() <= found.items() for found in server.firing().get(name, []))


def order(system: System, *arguments: str) -> None:
    """Give an order as an operator does."""
    system.sluice(*arguments)


def spent(system: System, model: str) -> Decimal:
    """What a model has spent on all partitions, in units of currency."""
    states = system.states().values()
    return Decimal(sum(state.accounts[model].spent for state in states)) / NANO


async def page_shows(url: str, condition: str) -> None:
    """Open the page as an operator does, and wait until it shows something. Nothing where there is
    no browser."""
    if CHROMIUM is not None:
        async with browser() as tab:
            await opened(tab, url)
            await tab.wait(condition)


def used_up(model: str) -> str:
    """That the page shows a model's limit as used up, in red."""
    return f"""[...document.querySelectorAll('.limit')].some((one) =>
        one.innerText.includes('{model}') && one.innerText.includes('0 % left') &&
        one.querySelector('.bar.bad'))"""


@pytest.mark.kafka
def test_drill(kafka_broker: KafkaServer, tmp_path: Path, prefix: str) -> None:
    """A limit that is used up, and a router that dies: Prometheus says so by the rules of deploy/,
    the page shows which limit it is, and both stop saying so when what is told has been done."""
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("r0", "r1", "w0")}
    settings = {"policy": {"window": 50}}
    system = System(kafka_broker, tmp_path, prefix, size=200, plenty=100, settings=settings)
    with prometheus(tmp_path / "prometheus", list(addresses.values())) as server, system:

        def route(name: str) -> None:
            config = ("--config", str(system.config), "--metrics", addresses[name])
            system.run(name, "route", *config, "--name", name)

        for name in ("r0", "r1"):
            route(name)
        metrics = ("--config", str(system.config), "--metrics", addresses["w0"])
        system.run("w0", "work", *system.models, *metrics, "--dataset", str(system.dataset))
        page = serve(system, free_port())
        system.wait("Prometheus", server.ready)
        system.wait_members(2)
        system.produce()
        system.wait_settled()
        owned = "sum(sluice_partitions) == max(sluice_topic_partitions)"
        system.wait("all partitions to be scraped", lambda: server.value(owned) is not None)

        model = max(system.models, key=lambda name: spent(system, name))
        assert not fires(server, "SluiceBudgetExhausted", model=model)
        order(system, "budget", "set", model, str(spent(system, model)))
        system.wait("the limit", lambda: fires(server, "SluiceBudgetExhausted", model=model))
        asyncio.run(page_shows(page, used_up(model)))
        order(system, "budget", "top-up", model, "25")
        asyncio.run(page_shows(page, f"!({used_up(model)})"))
        system.wait("its end", lambda: not fires(server, "SluiceBudgetExhausted", model=model))

        system.kill("r0")
        down = {"instance": addresses["r0"]}
        system.wait("the router", lambda: fires(server, "SluiceDown", **down))
        system.wait("the takeover", lambda: fires(server, "SluiceTakeover"))
        system.wait("an owner of each partition", lambda: server.value(owned) is not None)
        route("r0")
        system.wait("its return", lambda: not fires(server, "SluiceDown", **down))
        assert server.unwell() == {}
