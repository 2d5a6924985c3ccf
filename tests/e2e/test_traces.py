"""A trace over a whole system: from a client's request to the settlement of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from streams.brokers import Broker
from tests.support.completion_server import Server
from tests.support.front import free_port
from tests.support.patience import PATIENCE
from tests.support.system import System
from tests.support.traces import PARENT, SPAN, TRACE, Collector, Seen

WAY = [
    ("sluice-serve", "POST /v1/chat/completions"),
    ("sluice-router", "route {prefix}queries"),
    ("sluice-worker", "call {model}"),
    ("sluice-worker", "chat {model}"),
]
"""Service and name of each span, from parent to child."""
STEPS = {"prepare", "decide", "commit", "publish"}


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


class Traced(System):
    """A front, a router, and a worker that calls a server."""

    port = 0

    def begin(self) -> None:
        self.port = free_port()
        config = ("--config", str(self.config))
        self.run("serve", "serve", *config, "--http", f"127.0.0.1:{self.port}")
        self.run("work", "work", *self.models, *config)
        self.run("r0", "route", *config, "--name", "r0", "--log-level", "DEBUG")
        self.wait("the front", self.healthy)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self) -> httpx.Headers:
        """Ask as a client with a trace does. Returns the headers of the answer."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.port}/v1/chat/completions",
            json={"model": "auto", "messages": [{"role": "user", "content": "2 + 2?"}]},
            headers={"traceparent": PARENT},
            timeout=PATIENCE,
        )
        assert answer.status_code == 200, answer.text
        return answer.headers


def test_one_trace_from_request_to_settlement(
    broker: Broker, collector: Collector, server: Server, tmp_path: Path, prefix: str
) -> None:
    """HTTP, Kafka and HTTP again: the client's trace goes through, and the model's server gets it;
    log lines of the query name it."""
    prices = {"input_price": "1", "output_price": "2", "budget.limit": "1", "base_url": server.url}
    settings = {f'models."{model}"': prices for model in System.models}
    with Traced(broker, tmp_path, prefix, settings=settings) as system:
        system.begin()
        answer = system.ask()
        model, decision = answer["x-sluice-model"], answer["x-sluice-decision-id"]
        expected = [(who, name.format(prefix=prefix, model=model)) for who, name in WAY]

        def spans() -> list[Seen]:
            return collector.traces().get(TRACE, [])

        system.wait("all spans", lambda: len(spans()) >= len(WAY) + len(STEPS) + 1)
        (chat,) = [span for span in spans() if span.name.startswith("chat")]
        path = path_to(spans(), chat)
        assert [(span.service, span.name) for span in path] == expected
        assert path[0].parent == SPAN
        assert {span.name for span in spans() if span.parent == path[1].id} >= STEPS
        assert server.parents[-1] == f"00-{TRACE}-{chat.id}-01"
        (settled,) = [span for span in spans() if span.name.startswith("settle")]
        assert settled.parent == path[2].id
        line = f"decision_id={decision} trace_id={TRACE}"
        system.wait("the log", lambda: line in (tmp_path / "r0.log").read_text())
