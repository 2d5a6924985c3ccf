"""The page's routes: files, server-sent events, saved evaluations, and orders behind a key."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson
from confluent_kafka import KafkaException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from router.budget.ledger import account_words
from schemas.control import BudgetControl, ModelControl
from schemas.fields import Name
from schemas.invalid import Invalid
from streams.config.settings import Config
from streams.control.commands import send_command
from streams.kafka.errors import BrokerError
from streams.page.follow import TopicReader
from streams.page.view import View
from streams.serve.bounds import read_body
from streams.serve.errors import ApiError, read_as
from streams.serve.keys import bearer, find_caller, hashed

logger = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two events."""
AGAIN = 10.0
"""Seconds of steps that each event repeats: results change steps that are over."""
LARGEST_RUN = 64 << 20
"""Bytes of a saved evaluation that is served."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """What an operator asks for: to pause or resume a model, or another limit (whole amount)."""

    name: Name
    action: Literal["pause", "resume", "limit"]
    limit: int | None = None
    tenant: Name | None = None


class Page:
    """Serves what a `View` holds to any number of browsers; all of them get the same bytes."""

    def __init__(
        self, config: Config, view: View, runs: Path | None = None, orders: str | None = None
    ) -> None:
        """Open nothing yet.

        Args:
            config: The deployment.
            view: What is shown.
            runs: Folder of JSON files that `sluice evaluate` and `sluice replay` wrote.
            orders: Hash of the key that orders need; None for no orders.
        """
        self._config = config
        self._view = view
        self._runs = runs
        self._orders = orders
        self._reader = TopicReader(config, view)
        self._began = time.time()
        self._tick = asyncio.Event()
        self._number = 0
        self._event = b""
        self._ending: Callable[[], bool] = lambda: False

    def around(self, front: Starlette) -> Starlette:
        """Return the front's application with the page beside it."""

        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            self._reader.start()
            self._ending = getattr(app.state, "ending", self._ending)
            ticking = asyncio.create_task(self._run())
            try:
                async with front.router.lifespan_context(front):
                    yield
            finally:
                ticking.cancel()
                await asyncio.to_thread(self._reader.close)

        return Starlette(routes=[*self._routes(), Mount("/", front)], lifespan=lifespan)

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/", lambda _: RedirectResponse("/ui/")),
            Route("/ui", lambda _: RedirectResponse("/ui/")),
            Route("/ui/", lambda _: _file("index.html")),
            Route("/ui/files/{name}", lambda request: _file(request.path_params["name"])),
            self._guarded("/ui/events", self._events),
            self._guarded("/ui/runs", self._list_runs),
            self._guarded("/ui/runs/{name}", self._read_run),
            Route("/ui/orders", _explained(self._order), methods=["POST"]),
        ]

    def _guarded(self, path: str, endpoint: Callable[[Request], Any]) -> Route:
        """Ask for a key where the front has keys; one that names no tenant."""

        async def answer(request: Request) -> Response:
            credential = bearer(request.headers.get("authorization"))
            caller = find_caller(self._config.serve.keys, credential)
            if caller is None or caller.tenant is not None:
                words = "the page needs a key of [serve.keys] that names no tenant"
                raise ApiError(401, "invalid_api_key", words)
            found: Response = await endpoint(request)
            return found

        return Route(path, _explained(answer))

    # Events

    async def _run(self) -> None:
        """Make an event every second, once for everybody."""
        while True:
            now = time.time()
            with self._reader.lock:
                body = self._values(now, now - AGAIN - self._view.timeline.width)
            self._event = b"event: tick\ndata: " + orjson.dumps(body) + b"\n\n"
            self._number += 1
            before, self._tick = self._tick, asyncio.Event()
            before.set()
            await asyncio.sleep(EVERY)

    def _values(self, now: float, since: float) -> dict[str, Any]:
        return {
            "now": now,
            "failure": self._reader.failure,
            "backlog": self._reader.backlog,
            "partitions": self._reader.partitions,
            "orders": self._orders is not None,
            "width": self._view.timeline.width,
            "rows": list(self._view.timeline.rows(since)),
            **self._view.state(now),
        }

    async def _events(self, request: Request) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            with self._reader.lock:
                width = self._view.timeline.width
                body = self._values(time.time(), 0.0)
            yield b"retry: 2000\nevent: full\ndata: " + orjson.dumps(body) + b"\n\n"
            while not self._ending():
                await self._tick.wait()
                if width != self._view.timeline.width:
                    return  # the browser comes again, and gets everything
                yield self._event

        headers = {**HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)

    # Saved evaluations

    async def _list_runs(self, request: Request) -> Response:
        found = [] if self._runs is None else sorted(self._runs.glob("*.json"))
        return JSONResponse([file.name for file in found], headers=HEADERS)

    async def _read_run(self, request: Request) -> Response:
        name = request.path_params["name"]
        names = [] if self._runs is None else [file.name for file in self._runs.glob("*.json")]
        if self._runs is None or name not in names:
            raise ApiError(404, "not_found", f"there is no evaluation {name[:100]!r}")
        file = self._runs / name
        if file.stat().st_size > LARGEST_RUN:
            raise ApiError(413, "too_large", f"{name} is larger than {LARGEST_RUN >> 20} MiB")
        data = await asyncio.to_thread(file.read_bytes)
        return Response(data, media_type="application/json", headers=HEADERS)

    # Orders

    async def _order(self, request: Request) -> Response:
        if self._orders is None:
            words = "orders are off: set [serve] orders_key to the hash that `sluice key new` made"
            raise ApiError(403, "orders_off", words)
        credential = bearer(request.headers.get("authorization")) or ""
        if not hmac.compare_digest(hashed(credential[:256]), self._orders):
            raise ApiError(401, "invalid_api_key", "this is not the key of the orders")
        body = await read_body(request, 10_000, self._config.serve.body_seconds)
        order = read_as(Order, body)
        message = self._message(order)
        logger.warning("an order from the page: %s", message)
        try:
            await asyncio.to_thread(send_command, self._config, message)
        except Invalid as error:
            raise ApiError(400, "invalid_request", error.reason, error.field) from None
        except (BrokerError, KafkaException) as error:
            raise ApiError(503, "unavailable", f"nothing has changed: {error}") from None
        return JSONResponse({"done": True}, headers=HEADERS)

    def _message(self, order: Order) -> ModelControl | BudgetControl:
        known = self._view.models.keys() | self._config.limit_set().index.keys()
        if order.name not in known:
            raise ApiError(404, "not_found", f"there is no {account_words(order.name)!r}")
        if order.action != "limit":
            return ModelControl(name=order.name, action=order.action)
        if order.limit is None or order.limit < 0:
            raise ApiError(400, "invalid_request", "limit: it must be 0 or more", "limit")
        return BudgetControl(model=order.name, tenant=order.tenant, limit=order.limit)


def _file(name: str) -> Response:
    """Serve a file of the page; nothing else is reachable."""
    known = {file.name: file for file in files("streams.page").joinpath("static").iterdir()}
    if name not in known:
        return JSONResponse({"error": {"message": "there is no such file"}}, 404)
    return Response(known[name].read_bytes(), media_type=TYPES[Path(name).suffix], headers=HEADERS)


def _explained(endpoint: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Answer with the error where there is one."""

    async def answer(request: Request) -> Response:
        try:
            found: Response = await endpoint(request)
            return found
        except ApiError as error:
            return JSONResponse(error.body, error.status, {**HEADERS, **error.headers})

    return answer
