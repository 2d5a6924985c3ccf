"""A trace over a whole system: from a client's request to the settlement of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from streams.brokers import Broker
from tests.support.completion_server import Server
from tests.support.front import free_port
from tests.support.system import System
from tests.support.traces import PARENT, SPAN, TRACE, Collector, Seen

WAY = [
    ("sluice-serve", "POST /v1/chat/completions"),
    ("sluice-router", "route {prefix}queries"),
    ("sluice-worker", "call {model}"),
    ("sluice-worker", "chat {model}"),
]
"""Service and name of each span, from parent to child."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Gets the spans of all processes that a test starts."""
    with Collector() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield made


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def path_to(spans: Sequence[Seen], last: Seen) -> list[Seen]:
    """A span and those above it, the highest first."""
    by_id = {span.id: span for span in spans}
    path = [last]
    while (above := by_id.get(path[0].parent)) is not None:
        path.insert(0, above)
    return path


def test_one_trace_from_request_to_settlement(
    broker: Broker, collector: Collector, server: Server, tmp_path: Path, prefix: str
) -> None:
    """HTTP, Kafka and HTTP again: the client's trace goes through, and the model's server gets it;
    log lines of the query name it."""
    prices = {"input_price": "1", "output_price": "2", "budget.limit": "1", "base_url": server.url}
    settings = {f'models."{model}"': prices for model in System.models}
    with System(broker, tmp_path, prefix, settings=settings) as system:
        port = free_port()
        config = ("--config", str(system.config))
        system.run("serve", "serve", *config, "--http", f"127.0.0.1:{port}")
        system.run("work", "work", *system.models, *config)
        system.run("r0", "route", *config, "--name", "r0", "--log-level", "DEBUG")

        def healthy() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
            except httpx.TransportError:
                return False

        system.wait("the front", healthy)
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json={"model": "auto", "messages": [{"role": "user", "content": "2 + 2?"}]},
            headers={"traceparent": PARENT},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        model = answer.headers["x-sluice-model"]

        def settled() -> list[Seen]:
            spans = collector.traces().get(TRACE, [])
            return [span for span in spans if span.name.startswith("settle")]

        system.wait("the settlement", lambda: bool(settled()))
        system.wait("the others", lambda: len(collector.traces()[TRACE]) >= len(WAY) + 5)
        spans = collector.traces()[TRACE]
        expected = [(who, name.format(prefix=prefix, model=model)) for who, name in WAY]
        (chat,) = [span for span in spans if span.name.startswith("chat")]
        path = path_to(spans, chat)
        assert [(span.service, span.name) for span in path] == expected
        assert path[0].parent == SPAN
        (end,) = settled()
        assert [span.name for span in path_to(spans, end)[:-1]] == [
            name for _, name in expected[:3]
        ]
        steps = {span.name for span in spans if span.parent == path[1].id}
        assert steps >= {"prepare", "decide", "commit", "publish"}
        assert server.parents[-1] == f"00-{TRACE}-{chat.id}-01"
        decision = f"decision_id={answer.headers['x-sluice-decision-id']} trace_id={TRACE}"
        system.wait("the log", lambda: decision in (tmp_path / "r0.log").read_text())
