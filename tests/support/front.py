"""A running HTTP front for tests, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import openai
from starlette.applications import Starlette

from streams.brokers import Broker
from streams.brokers.embedded import EmbeddedBroker
from streams.cli.planning import planned
from streams.config.settings import Config, load
from streams.kafka import clients
from streams.kafka.topics import create
from streams.metrics.serve import ServeMetrics
from streams.serve.app import Front
from streams.serve.server import FrontServer, uvicorn_config
from tests.streams.cli.conftest import LIMITED
from tests.support.patience import PATIENCE


def deploy(folder: Path, prefix: str, broker: Broker, more: str = "") -> Config:
    """Make the topics of two models, small and large. more: sections of the configuration."""
    file = folder / "sluice.toml"
    file.write_text(LIMITED.format(prefix=prefix) + more)
    files = str(folder / "files")
    config = load(file, {"SLUICE_BROKER": broker.servers, "SLUICE_SERVE_FILES": files})
    if isinstance(broker, EmbeddedBroker):
        broker.create({topic.name: topic.partitions for topic in planned(config)})
    else:
        create(clients.admin({"bootstrap.servers": broker.servers}), planned(config))
    return config


class RunningFront:
    """Serves on a free port while the context is open."""

    def __init__(
        self, config: Config, around: Callable[[Starlette], Starlette] = lambda app: app
    ) -> None:
        self.front = Front(config, ServeMetrics())
        self.port = free_port()
        app = around(self.front.app())
        settings = uvicorn_config(app, "127.0.0.1", self.port, config)
        self._server = FrontServer(settings)
        app.state.ending = lambda: self._server.should_exit
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + PATIENCE
        while not self._server.started:
            assert self._thread.is_alive(), "the front has ended"
            assert time.monotonic() < until, "the front does not start"
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

    def client(self, key: str = "none", **settings: Any) -> openai.OpenAI:
        """OpenAI's own client."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **settings)

    def asynchronous(self, key: str = "none", **settings: Any) -> openai.AsyncOpenAI:
        """OpenAI's own client for event loops."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, **settings)

    def post(self, body: bytes | str, path: str = "/v1/chat/completions", **headers: str) -> Any:
        """Send a request as curl does; names of headers with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        return httpx.post(self.url + path, content=data, headers=named, timeout=PATIENCE)


def free_port() -> int:
    """A port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
