"""The metrics of several processes as those of one: what a supervisor of routers shows."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from streams.metrics.health import Health, Probe
from streams.metrics.server import ALIVE, METRICS, READY

PATIENCE = 5.0
"""Seconds in which a process answers; a little more than its own probes take at most."""
ALIKE = frozenset(
    (
        "sluice_budget_limit",
        "sluice_budget_window_end_timestamp_seconds",
        "sluice_dual_price",
        "sluice_index_queries",
        "sluice_limit_limit",
        "sluice_limit_price",
        "sluice_pool_busy",
        "sluice_price_version",
        "sluice_route_backlog_age_seconds",
        "sluice_topic_partitions",
    )
)
"""Gauges of which the largest is shown: every process says the same, or the oldest counts. All
others are sums."""

Key = tuple[str, tuple[tuple[str, str], ...]]
"""A sample's name and labels."""


class Member(NamedTuple):
    """One process that answers.

    Attributes:
        name: Of the process, the same after a restart.
        life: How often it has been started.
        port: Where it answers on loopback.
    """

    name: str
    life: int
    port: int


class Gathered(Collector):
    """Asks every process at each scrape and adds up what they say.

    Counts of a process that has ended stay in the sums, as far as they were seen: a sum that fell
    would look like a restart of all.
    """

    def __init__(
        self, members: Callable[[], Sequence[Member]], restarts: Callable[[], int]
    ) -> None:
        """Args:
        members: Returns the processes that run now.
        restarts: Returns how often one had to be started again.
        """
        self._members = members
        self._restarts = restarts
        self._seen: dict[tuple[str, int], dict[Key, float]] = {}
        self._ended: dict[Key, float] = {}

    def collect(self) -> Iterator[Metric]:
        """Ask all, and yield each metric once."""
        members = self._members()
        families: dict[str, Metric] = {}
        sums: dict[str, dict[Key, float]] = {}
        self._forget({(member.name, member.life) for member in members})
        answered = 0
        for member in members:
            told = _ask(member.port, METRICS)
            if told is None:
                continue
            answered += 1
            seen = self._seen.setdefault((member.name, member.life), {})
            for family in text_string_to_metric_families(told[1]):
                families.setdefault(family.name, family)
                table = sums.setdefault(family.name, {})
                for sample in family.samples:
                    _add(table, family, sample)
                    if family.type != "gauge":
                        seen[_key(sample)] = sample.value
        for name, family in families.items():
            yield self._whole(family, sums[name])
        yield GaugeMetricFamily("sluice_route_processes", "Processes that answer.", answered)
        words = "Processes that ended and were started again."
        yield CounterMetricFamily("sluice_route_restarts_total", words, self._restarts())

    def _forget(self, running: set[tuple[str, int]]) -> None:
        """Keep what processes had counted that are gone."""
        for life in self._seen.keys() - running:
            for key, value in self._seen.pop(life).items():
                self._ended[key] = self._ended.get(key, 0.0) + value

    def _whole(self, family: Metric, sums: Mapping[Key, float]) -> Metric:
        whole = Metric(family.name, family.documentation, family.type, family.unit)
        for (name, labels), value in sums.items():
            total = value + self._ended.get((name, labels), 0.0)
            whole.add_sample(name, dict(labels), total)
        return whole


def health_of(members: Callable[[], Sequence[Member]], count: int) -> Health:
    """Return the probes of a group: they find wrong what those of its processes do.

    Args:
        members: Returns the processes that run now.
        count: How many there should be.
    """

    def probe(path: str, complete: bool) -> Probe:
        def ask() -> list[str]:
            found = [
                f"{member.name}: {line}" for member in members() for line in _wrong(member, path)
            ]
            missing = count - len(members())
            if complete and missing:
                found.append(f"{missing} of {count} processes have ended, and are started again")
            return found

        return ask

    return Health(probe(ALIVE, False), probe(READY, True))


def _wrong(member: Member, path: str) -> list[str]:
    told = _ask(member.port, path)
    if told is None:
        return ["does not answer"] if path == READY else []
    status, text = told
    return [] if status == 200 else text.splitlines()


def _ask(port: int, path: str) -> tuple[int, str] | None:
    """Return status and text, None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return None


def _key(sample: Sample) -> Key:
    return sample.name, tuple(sample.labels.items())


def _add(table: dict[Key, float], family: Metric, sample: Sample) -> None:
    key = _key(sample)
    before = table.get(key)
    if before is None:
        table[key] = sample.value
    elif family.name in ALIKE:
        table[key] = max(before, sample.value)
    else:
        table[key] = before + sample.value
