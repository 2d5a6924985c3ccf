"""Alert rules and dashboard: every metric and label is one that Sluice exposes, and rules fire."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import generate_latest

from streams.brokers.kafka import free_port
from streams.metrics.audit import audit_registry
from streams.metrics.router import Live, Metrics
from streams.metrics.worker import WorkMetrics
from tests.support import tools
from tests.support.prometheus import DASHBOARD as DASHBOARD_FILE
from tests.support.prometheus import DEPLOY, panels
from tests.support.prometheus import RULES as RULES_FILE
from tests.support.recorded import FLEET, new_ledger
from tests.support.scrape import exposition, parsed

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]
TESTS_FILE = DEPLOY / "prometheus" / "sluice.test.yml"
DASHBOARD: dict[str, Any] = json.loads(DASHBOARD_FILE.read_text())
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TARGET = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of histograms' buckets."""
OTHERS = {"up", "kube_job_status_failed"}
"""Prometheus' own, and kube-state-metrics'."""

NAME = re.compile(r"\b(?:sluice[_:][a-zA-Z0-9_:]+|up|kube_[a-z_]+)\b(?!\s*\()")
SELECTOR = re.compile(r"\b(sluice[_:][a-zA-Z0-9_:]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Exposed(NamedTuple):
    """Values of each label, by the name of each sample."""

    labels: dict[str, dict[str, set[str]]]
    text: str


@pytest.fixture(scope="module")
def exposed() -> Exposed:
    """What a router, a worker and an audit expose."""
    live = Live(
        [new_ledger()],
        0,
        dict.fromkeys(FLEET.names, 0.0),
        0,
        0,
        limits=dict.fromkeys(FLEET.names, 1),
        window_ends=dict.fromkeys(FLEET.names, 0.0),
    )
    router, worker = Metrics(FLEET.names, lambda: live), WorkMetrics()
    for name in FLEET.names:
        worker.add_model(name, lambda: 0)
    text = "".join(served(metrics.serve) for metrics in (router, worker))
    text += generate_latest(audit_registry(0, dict.fromkeys(FLEET.names, 0), 0.0)).decode()
    labels: dict[str, dict[str, set[str]]] = {}
    for sample in parsed(text):
        known = labels.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            known.setdefault(label, set()).add(value)
    return Exposed(labels, text)


def served(serve: Callable[[str, int], Callable[[], None]]) -> str:
    """The text that a process exposes."""
    port = free_port()
    stop = serve("127.0.0.1", port)
    try:
        return exposition(f"127.0.0.1:{port}")
    finally:
        stop()


def variables() -> Iterator[tuple[str, str]]:
    """Each variable of the dashboard, and the query for its values."""
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


EXPRESSIONS = [
    *((rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES),
    *panels(),
    *variables(),
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_names_and_labels_are_exposed(exposed: Exposed, where: str, expression: str) -> None:
    """A name, a label or a value that nothing exposes would be silent for ever."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = set(NAME.findall(bare))
    assert names - exposed.labels.keys() - RECORDED - OTHERS == set()
    for name, matchers in SELECTOR.findall(expression):
        known = exposed.labels.get(name)
        for label, how, value in MATCHER.findall(matchers):
            if known is None or label in TARGET:
                continue  # a recorded one: its own expression is checked
            assert label in known, f"{name} has no label {label}"
            if how in {"=", "!="} and value and "$" not in value:
                assert value in known[label], f"{name} is never {label}={value}"
    labels = {word for found in GROUPING.findall(bare) for word in re.findall(r"\w+", found)}
    everywhere = {label for known in exposed.labels.values() for label in known}
    assert labels <= everywhere | TARGET


def test_metrics_are_named_and_explained_as_prometheus_asks(exposed: Exposed) -> None:
    """promtool's own check of what is exposed."""
    # Each process has its own endpoint: common names may not come twice in one text.
    tools.run(tools.find("promtool"), "check", "metrics", text=exposed.text)


def test_rules_are_valid() -> None:
    """promtool's own check."""
    tools.run(tools.find("promtool"), "check", "rules", RULES_FILE)


def test_the_dashboards_expressions_are_valid(tmp_path: Path) -> None:
    """promtool reads each, as the rule that it would be."""
    rules = [{"record": f"panel:{n}", "expr": expr} for n, (_, expr) in enumerate(panels())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    tools.run(tools.find("promtool"), "check", "rules", file)


def test_rules_fire_when_they_should() -> None:
    """promtool runs each alert over made-up series."""
    tools.run(tools.find("promtool"), "test", "rules", TESTS_FILE)


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    """Each fires in a test of promtool's, has a severity, a summary and a description."""
    fired = {
        test["alertname"]
        for one in yaml.safe_load(TESTS_FILE.read_text())["tests"]
        for test in one.get("alert_rule_test", [])
        if test["exp_alerts"]
    }
    assert fired == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}, name
        assert rule["annotations"].keys() == {"summary", "description"}, name


def test_the_page_says_what_to_do_about_every_alert() -> None:
    """docs/how-to/deploy.md has a row for each, and for no other."""
    page = (DEPLOY.parent / "docs" / "how-to" / "deploy.md").read_text()
    assert re.findall(r"^\| `(Sluice\w+)` \|", page, re.MULTILINE) == list(ALERTS)


def test_commands_in_alerts_exist() -> None:
    """An alert that says `sluice budget top-up` names a command."""
    import click

    from streams.cli import main

    for name, rule in ALERTS.items():
        text = re.sub(r"\s+", " ", rule["annotations"]["description"])
        for words in re.findall(r"\bsluice ((?:[a-z-]+ ?){1,2})", text):
            command: click.Command | None = main
            for word in words.split():
                if not isinstance(command, click.Group):
                    break
                command = command.get_command(click.Context(command), word)
                assert command is not None, f"{name}: sluice {words}"


def test_the_dashboard_is_one_that_can_be_provisioned() -> None:
    """Ids are its own, panels do not overlap, and the data source is the one that is chosen."""
    found = DASHBOARD["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    taken: set[tuple[int, int]] = set()
    for panel in found:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
