"""Runs the application on uvicorn, with bounds that uvicorn does not have."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streams.config.settings import Config
from streams.metrics.serve import ServeMetrics
from streams.serve.app import Front
from streams.serve.errors import ApiError

logger = logging.getLogger(__name__)

LONGEST_HEAD = 64 << 10
"""Bytes of a request's line and headers."""
KEEP_ALIVE = 75
"""Seconds that an idle connection stays: longer than clients and load balancers keep theirs, or a
request would meet a connection that is just being closed."""
GRACE_PART = 0.6
"""Part of `process.stop_seconds` that requests get to end when the process stops."""
MORE_CONNECTIONS = 500
"""Connections beyond the requests in flight: they are told that there are too many."""
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)


class Lingering:
    """A transport that is closed after the other side where a body is still on its way.

    Closing it at once would reset the connection, and many clients would not read the answer.
    """

    def __init__(
        self, transport: asyncio.Transport, unread: Callable[[], bool], seconds: float
    ) -> None:
        """Wrap a transport.

        Args:
            transport: Of a connection.
            unread: Returns whether a body is still on its way.
            seconds: That the other side gets to end.
        """
        self._transport, self._unread, self._seconds = transport, unread, seconds
        self.last: asyncio.TimerHandle | None = None
        """Set where nothing that still arrives is of interest."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether no request is to be answered any more."""
        return self.last is not None or self._transport.is_closing()

    def close(self) -> None:
        """Send what is written, and the end of it."""
        if self.is_closing():
            return
        if not self._unread():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        loop = asyncio.get_running_loop()
        self.last = loop.call_later(self._seconds, self._transport.close)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose next request does not arrive in time, or has too long a head.

    Upgrades are not offered, and requests that ask for one are answered as all others: uvicorn
    would lose their bodies (Java's client asks for HTTP/2 with every first request).
    """

    header_seconds = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._head = 0
        self._in_body = False

    @property
    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        self._lingering = Lingering(transport, lambda: self._in_body, self.header_seconds)
        super().connection_made(self._lingering)  # type: ignore[arg-type]
        self._wait(self.header_seconds)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see whether they complete a request's head."""
        if self._lingering.last is not None:
            return
        if not self._in_body:
            self._head += len(data)
            head, end, rest = data.partition(b"\r\n\r\n")
            data = _UPGRADE.sub(b"", head + end) + rest
        super().data_received(data)
        if not self._between_requests:
            self._stop_waiting()
        elif self._head > LONGEST_HEAD:
            self.transport.close()
        elif self._timer is None:
            self._wait(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        if self._lingering.last is not None:
            self._lingering.last.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Count a head that has begun, also where it came with the request before."""
        self._head += 1
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Count no more: the body comes."""
        self._head, self._in_body = 0, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request, where this one was answered before its body was there."""
        self._in_body = False
        super().on_message_complete()
        if self._between_requests:
            self._wait(KEEP_ALIVE)

    def on_response_complete(self) -> None:
        """Wait for the rest of a head that has begun."""
        super().on_response_complete()
        if self._head and not self.transport.is_closing():
            self._wait(self.header_seconds)

    def send_400_response(self, msg: str) -> None:
        """Say that the head is no HTTP, as the application says its errors."""
        body = json.dumps(ApiError(400, "invalid_http", msg).body).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._between_requests:
            self.transport.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(
    config: Config,
    host: str,
    port: int,
    metrics: ServeMetrics,
    stop_with: Callable[[Callable[[], object]], None],
    around: Callable[[Starlette], Starlette] = lambda app: app,
) -> None:
    """Serve until told to stop; requests in flight get a part of `process.stop_seconds` to end.

    Args:
        config: The deployment.
        host: Address to listen on.
        port: Port to listen on.
        metrics: Counts requests.
        stop_with: Takes the function that begins the end, for any thread (`Stopper.stop_with`).
        around: Returns an application with more routes; its `state.ending` tells streams when to
            end.

    Raises:
        ValueError: Others than this machine could send requests without a key.
    """
    settings = config.serve
    if not settings.keys and not is_loopback(host):
        raise ValueError(
            f"{host} can be reached from other machines, and no keys are configured: make one with "
            "`sluice key new NAME`, or serve on 127.0.0.1"
        )
    app = around(Front(config, metrics).app())
    server = FrontServer(uvicorn_config(app, host, port, config))
    app.state.ending = lambda: server.should_exit
    stop_with(server.stop)
    server.run()


class FrontServer(uvicorn.Server):
    """Leaves signals to its caller, and says where it serves."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            logger.info("serves http://%s:%d", self.config.host, port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def stop(self) -> None:
        """Begin to stop."""
        self.should_exit = True


def uvicorn_config(app: Any, host: str, port: int, config: Config) -> uvicorn.Config:
    """Return uvicorn's settings."""
    settings = config.serve
    protocol = type("Protocol", (BoundedProtocol,), {"header_seconds": settings.header_seconds})
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=settings.in_flight + MORE_CONNECTIONS,
        backlog=2048,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(round(GRACE_PART * config.process.stop_seconds), 1),
    )
