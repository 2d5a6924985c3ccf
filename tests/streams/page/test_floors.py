"""What the page shows of quality floors."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.policies.floors import Floors
from schemas.control import FloorControl, control_key
from schemas.wire import encode
from streams.config.settings import load
from streams.page.floors import count, shown
from streams.page.timeline import Step
from streams.page.view import View
from tests.streams.cli.conftest import CONFIG
from tests.support.decisions import receipt


def test_floors_are_shown_with_what_was_estimated() -> None:
    """Those in force, and those that queries asked for; what gave way, and who asks."""
    minute = Step()
    for number, (floor, model, gave_way) in enumerate(
        [(0.7, "small", None), (0.7, "large", "floor"), (0.7, None, "query"), (0.9, "large", None)]
    ):
        count(minute, receipt(number, model, floor=floor, gave_way=gave_way))
    count(minute, receipt(9))
    high, shops, usual = shown(Floors(0.7, {"shop": 0.8}), minute)
    assert (high["value"], high["whose"], high["sent"], high["estimated"]) == (0.9, [], 1, 0.8)
    assert (shops["value"], shops["whose"], shops["estimated"]) == (0.8, ["shop"], None)
    assert (usual["value"], usual["whose"], usual["sent"]) == (0.7, ["usual"], 2)
    assert usual["estimated"] == pytest.approx(0.65)
    assert (usual["gave_way_floor"], usual["gave_way_query"]) == (1, 1)
    assert shown(None, minute) == []


def test_the_view_follows_floors(tmp_path: Path) -> None:
    """Of the configuration and of commands; under another policy there are none."""
    file = tmp_path / "sluice.toml"
    policy = '[policy]\nname = "quality-floor"\nfloor = 0.6\n'
    file.write_text(CONFIG.format(prefix="").replace("[policy]\n", policy))
    config = load(file, {})
    view = View(config, config.amounts())
    command = FloorControl(floor=0.8, tenant="shop")
    view.take_command(control_key(command).encode(), encode(command), 0)
    view.take_receipt(receipt(0, floor=0.6))
    floors = view.state(1001.0)["floors"]
    assert [(one["value"], one["whose"], one["sent"]) for one in floors] == [
        (0.8, ["shop"], 0),
        (0.6, ["usual"], 1),
    ]
