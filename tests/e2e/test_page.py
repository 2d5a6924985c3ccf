"""The page in a real browser, on a whole system: legible, by keyboard, and honest when cut off.

With SLUICE_PICTURES=docs/assets its pictures replace those of the documentation.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from streams.brokers.embedded import EmbeddedBroker
from streams.brokers.kafka import KafkaServer
from tests.e2e.test_pools import EACH, MODEL, SETTINGS, ask
from tests.support.browser import Tab, browser, needs_chromium
from tests.support.command import run
from tests.support.front import free_port
from tests.support.system import System

pytestmark = needs_chromium
POLICIES = {"primal-dual": 1.0, "static-mix": 0.6, "random": 0.5}
WIDTHS = (1280, 390)


@pytest.fixture
def system(embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str) -> Iterator[System]:
    """A router, a worker, and queries that come while the test runs."""
    with System(embedded_broker, tmp_path, prefix, size=2000, past=500) as made:
        made.start_router("r0")
        made.start_worker("w0", latency=0.5)
        made.produce_meanwhile(rate=25)
        yield made


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browser() as made:
        yield made


def serve(system: System, port: int, name: str = "page") -> str:
    """Start the page. Returns its address."""
    runs = system.folder / "runs"
    runs.mkdir(exist_ok=True)
    (runs / "evaluation.json").write_bytes(orjson.dumps({"rows": _rows()}))
    at = ("--config", str(system.config), "--http", f"127.0.0.1:{port}")
    system.run(name, "serve", "--ui", "--runs", str(runs), *at)
    return f"http://127.0.0.1:{port}/ui/"


async def opened(tab: Tab, url: str) -> None:
    """Open the page as soon as it is there, and wait until it shows something."""
    for _ in range(300):
        await tab.open(url)
        if await tab.run("Boolean(document.getElementById('live'))"):
            break
        await asyncio.sleep(0.2)
    await tab.wait("window.sluiceDrawn > 1")


async def fits(tab: Tab) -> bool:
    """Whether nothing needs a scroll sideways."""
    return bool(await tab.run("document.documentElement.scrollWidth <= innerWidth"))


async def test_it_is_legible(system: System, tab: Tab, tmp_path: Path) -> None:
    """On wide and narrow screens, light and dark; every figure is there, and nothing is wrong."""
    pictures = Path(os.environ.get("SLUICE_PICTURES", str(tmp_path)))
    url = serve(system, free_port())
    await opened(tab, url)
    await tab.wait("state.limits.some((one) => one.spent > 0)")
    await tab.wait("rows.size > 20 && sum([...rows.values()], 'judged') > 20")
    for width in WIDTHS:
        for dark in (False, True):
            await tab.size(width, 900, dark)
            await opened(tab, url)
            await tab.wait("document.querySelectorAll('.chart canvas').length >= 4")
            await tab.wait("document.querySelectorAll('#decisions details').length > 5")
            name = f"page-{width}-{'dark' if dark else 'light'}.png"
            await tab.picture(pictures / name, most=2200)
            assert await fits(tab)
            assert (await tab.run("document.documentElement.dataset.theme") == "dark") is dark
    text = str(await tab.run("document.getElementById('live').innerText"))
    for model in system.models:
        assert model in text
    assert "live · 3 of 3 partitions" in str(await tab.run("document.body.innerText"))
    await tab.size(1280, 900, False)
    await tab.run("openTab('runs')")
    await tab.wait("document.querySelectorAll('#run-table tbody tr').length === 6")
    await tab.picture(pictures / "page-evaluation.png", most=1200)
    assert tab.errors == []


async def test_a_replay_of_the_log_is_drawn(system: System, tab: Tab, tmp_path: Path) -> None:
    """What `sluice replay` writes of this system's own log has its curve, bars and figures."""
    pictures = Path(os.environ.get("SLUICE_PICTURES", str(tmp_path)))
    await asyncio.to_thread(system.wait, "decisions", lambda: len(system.decided()) > 100)
    url = serve(system, free_port())
    asked = ("--policy", ",".join(POLICIES), "--budget", "0.5,1,2", "--to", "now")
    out = ("--json", system.folder / "runs" / "replay.json", "--config", system.config)
    servers = system.broker.servers
    code, _, stderr = await asyncio.to_thread(run, "replay", *asked, *out, broker=servers)
    assert code == 0, stderr
    await tab.size(1280, 900, False)
    await opened(tab, url)
    await tab.run("openTab('runs')")
    await tab.wait("document.querySelectorAll('#run-list option').length === 3")
    await tab.run(
        "document.getElementById('run-list').value = 'replay.json';"
        "document.getElementById('run-list').dispatchEvent(new Event('change'))"
    )
    await tab.wait("document.querySelectorAll('#run-table tbody tr').length === 9")
    await tab.wait("document.getElementById('run-words').innerText.includes('of the log')")
    await tab.picture(pictures / "page-replay.png", most=1200)
    assert tab.errors == []


async def test_keyboard_and_explanations(system: System, tab: Tab) -> None:
    """Tabs by arrows, decisions by Enter; an open one stays and says why."""
    await tab.size(1280, 900, False)
    await opened(tab, serve(system, free_port()))
    await tab.wait("document.querySelectorAll('#decisions details').length > 5")
    await tab.run("document.querySelector('#decisions summary').focus()")
    await tab.press("Enter", 13, "\r")
    await tab.wait("document.querySelector('details[open] .opened p')")
    why = await tab.run("document.querySelector('details[open] .opened').innerText")
    assert why.startswith(("It went to", "It waits"))
    assert "Worth" in why
    drawn = await tab.run("window.sluiceDrawn")
    await tab.wait(f"window.sluiceDrawn > {drawn} + 2")
    assert await tab.run("document.querySelectorAll('details[open]').length") == 1
    await tab.run("document.getElementById('tab-live').focus()")
    await tab.press("ArrowRight", 39)
    assert await tab.run("document.activeElement.id") == "tab-runs"
    assert await tab.run("document.getElementById('live').hidden")
    assert tab.errors == []


async def test_floors_are_drawn(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str, tab: Tab
) -> None:
    """A floor of the configuration shows what was sent under it and its estimated score; one that
    a command sets moves at once."""
    settings: dict[str, dict[str, object]] = {
        "policy": {"name": "quality-floor", "floor": 0.25},
        "tenants.shop": {"floor": 0.5},
    }
    with System(
        embedded_broker,
        tmp_path,
        prefix,
        size=2000,
        past=300,
        plenty=100.0,
        settings=settings,
        tenants=(None, "shop"),
    ) as system:
        system.start_router("r0")
        system.produce_meanwhile(rate=10)
        await opened(tab, serve(system, free_port()))
        await tab.wait("state.floors.filter((one) => one.sent > 9).length === 2")
        shown = str(await tab.run("document.getElementById('floors-card').innerText"))
        assert "0.5 · shop" in shown
        assert "0.25 · usual" in shown
        assert len(re.findall(r"[01]\.\d{3} of \d+ sent", shown)) == 2
        bars = "[...document.querySelectorAll('#floors .bar')]"
        wide = await tab.run(f"{bars}.map((bar) => bar.firstChild.getBoundingClientRect().width)")
        assert all(width > 0 for width in wide)
        marks = await tab.run(f"{bars}.map((bar) => bar.lastChild.style.left)")
        assert marks == ["calc(50% - 1px)", "calc(25% - 1px)"]
        for width in WIDTHS:
            await tab.size(width, 900, False)
            assert await fits(tab)
        set_ = ("floor", "set", "0.75", "--tenant", "shop")
        await asyncio.to_thread(system.sluice, *set_)
        await tab.wait("document.getElementById('floors').innerText.includes('0.75 · shop')")
        assert tab.errors == []


async def test_pools_are_drawn(
    embedded_broker: EmbeddedBroker, tmp_path: Path, prefix: str, tab: Tab
) -> None:
    """A pool with a capacity shows its load, and is busy when it is full: nobody answers here."""
    short = f'models."{MODEL}".pools.short'
    settings = {**SETTINGS, short: {**SETTINGS[short], "capacity": EACH}}
    with System(embedded_broker, tmp_path, prefix, plenty=1e4, settings=settings) as system:
        system.start_router("r0")
        await opened(tab, serve(system, free_port()))
        assert not await tab.run("document.getElementById('pools-card').hidden")
        shown = "document.getElementById('pools').innerText"
        assert f"0 % of {EACH}" in str(await tab.run(shown))
        ask(system)
        await tab.wait(f"{shown}.includes('busy, queries spill')")
        lines = "document.querySelectorAll('#pools .limit')"
        assert await tab.run(f"{lines}.length") == 1
        assert f"{MODEL}.short" in str(await tab.run(f"{lines}[0].innerText"))
        assert await tab.run(
            f"{lines}[0].querySelector('.spent').getBoundingClientRect().width > 0"
        )
        for width in WIDTHS:
            await tab.size(width, 900, False)
            assert await fits(tab)
        assert tab.errors == []


async def test_a_restart_is_told_and_mended(system: System, tab: Tab) -> None:
    """The page says that nobody answers, and goes on by itself."""
    port = free_port()
    await opened(tab, serve(system, port))
    await asyncio.to_thread(system.kill, "page")
    await tab.wait("document.getElementById('status').innerText.includes('no connection')")
    serve(system, port)
    await tab.wait("document.getElementById('status').innerText.includes('live')")


@pytest.mark.kafka
async def test_a_broker_that_is_away_is_told_and_mended(
    can_run_kafka: None, tmp_path: Path, prefix: str, tab: Tab
) -> None:
    """The page says that no broker answers, goes on by itself, and shows what is decided then."""
    with (
        KafkaServer(tmp_path / "kafka") as broker,
        System(broker, tmp_path / "system", prefix, size=120, past=200, plenty=100.0) as system,
    ):
        system.start_router("r0")
        system.start_worker("w0")
        system.produce(0, 60)
        await opened(tab, serve(system, free_port()))
        await tab.wait("sum([...rows.values()], 'judged') > 0")
        broker.kill()
        await tab.wait("document.getElementById('status').innerText.includes('no broker')")
        await asyncio.to_thread(broker.restart)
        await tab.wait("document.getElementById('status').innerText.includes('live')")
        before = await tab.run("sum([...rows.values()], 'judged')")
        system.produce(60, 120)
        await tab.wait(f"sum([...rows.values()], 'judged') > {before}")
        assert tab.errors == []


def _rows() -> list[dict[str, object]]:
    """An evaluation of three policies under two budgets."""
    return [
        {
            "policy": policy, "budget": budget, "models": 3, "arrivals": 1000,
            "performance": 400 * worth * budget**0.5, "relative_performance": 100 * worth,
            "cost_usd": 0.04 * budget, "performance_per_usd": 10_000 * worth / budget**0.5,
            "served": 700, "deferred": 290, "lost": 10,
        }
        for policy, worth in POLICIES.items()
        for budget in (1.0, 2.0)
    ]  # fmt: skip
