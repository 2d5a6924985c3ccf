"""The HTTP server of a process's metrics and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server

Address = tuple[str, int]
"""Host and port."""
METRICS = "/metrics"
PROBES = ("/healthz", "/readyz")
"""Answered while the process serves; routers and workers serve once they have started."""

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""


def serve(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Answer GET /metrics and the probes from a thread; every other path is 404.

    Args:
        registry: What /metrics shows.
        host: Address to listen on.
        port: Port to listen on.

    Returns:
        What ends the server.

    Raises:
        OSError: The address, which the error names, cannot be had.
    """
    # They are a series more for each one, which nobody asks for. (The function has no types.)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
    server.set_app(_known_paths(server.get_app()))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _known_paths(metrics: Any) -> Application:
    """Keep an application that answers every path to its own one."""

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == METRICS:
            answer: Iterable[bytes] = metrics(environ, start)
            return answer
        known = path in PROBES
        words = b"ok\n" if known else b"not found; metrics are at /metrics\n"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(words)))]
        start("200 OK" if known else "404 Not Found", headers)
        return [words]

    return application
