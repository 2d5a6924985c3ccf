"""What the page shows of token pools."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from schemas import Prices
from streams.config.settings import load
from streams.page.view import View
from tests.streams.cli.conftest import LIMITED
from tests.support.decisions import report

POOLS = """
[models.large.pools.short]
context = 5000
capacity = 10
[models.large.pools.long]
context = 9000
"""


def test_the_view_follows_pools(tmp_path: Path, view: View) -> None:
    """What is under way in those with a capacity, over all partitions, and which are busy."""
    assert view.state(1000.0)["pools"] == []
    file = tmp_path / "pools.toml"
    file.write_text(LIMITED.format(prefix="") + POOLS)
    settings = load(file, {})
    pooled = View(settings, settings.amounts())
    (empty,) = pooled.state(1000.0)["pools"]
    assert empty == {"name": "large.short", "capacity": 10, "in_flight": 0, "busy": False}
    for partition, in_flight in enumerate(
        [{"large.short": 6, "large.long": 2}, {"large.short": 3}]
    ):
        told = structs.replace(report(partition), in_flight=in_flight)
        pooled.take_report(told, 1000.0)
    pooled.take_prices(
        Prices(policy="random", version=2, solved_at=1000.0, state={}, busy_pools=["large.short"])
    )
    assert pooled.state(1001.0)["pools"] == [{**empty, "in_flight": 9, "busy": True}]
