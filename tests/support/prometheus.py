"""A Prometheus server with the alert rules of deploy/, in a hurry."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from streams.brokers.kafka import free_port
from tests.support import tools

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "sluice.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "sluice.json"


def panels() -> Iterator[tuple[str, str]]:
    """Each title of the dashboard with each of its expressions, its variables filled in."""
    dashboard = orjson.loads(DASHBOARD.read_bytes())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], _filled(target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], _filled(annotation["expr"])


def _filled(expression: str) -> str:
    for variable, value in (("rate_interval", "1m"), ("range", "6h")):
        expression = expression.replace(f"$__{variable}", value)
    return expression.replace("$job", ".*").replace("$model", ".*")


class Prometheus:
    """Asks a running server what it knows."""

    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self._at}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def firing(self) -> dict[str, list[dict[str, str]]]:
        """Labels of the alerts that fire, by name."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in self._ask("alerts")["alerts"]:
            if alert["state"] == "firing":
                labels = alert["labels"]
                found.setdefault(labels.pop("alertname"), []).append(labels)
        return found

    def value(self, query: str) -> float | None:
        """The value of an expression with one result, now; None where it has none."""
        found = self._ask(f"query?query={quote(query)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def unwell(self) -> Mapping[str, str]:
        """The errors of rules that cannot be evaluated, by name."""
        groups = self._ask("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {
            rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"
        }

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._at}/api/v1/{path}", timeout=10) as answer:
            return orjson.loads(answer.read())["data"]


def hurried(rules: dict[str, Any]) -> dict[str, Any]:
    """Make the same rules fire at once, where a test has seconds instead of minutes."""
    for group in rules["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    return rules


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[Prometheus]:
    """Run a server that scrapes processes every second, as the job `sluice`.

    Skips the test where there is no Prometheus. targets: HOST:PORT each.
    """
    program, port = tools.find("prometheus"), free_port()
    folder.mkdir()
    rules = hurried(yaml.safe_load(RULES.read_text()))
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "sluice", "static_configs": [{"targets": [*targets]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Prometheus(port)
        finally:
            server.terminate()
            server.wait()
