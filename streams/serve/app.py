"""The ASGI application: OpenAI's chat completions and models, answered by way of Kafka."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from confluent_kafka import KafkaException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from router.budget.windows import Calendar
from schemas.wire import MAX_BYTES
from streams.client.answers import Answer
from streams.client.asynchronous import AsyncClient
from streams.client.errors import QueryError
from streams.config.settings import Config
from streams.kafka.errors import BrokerError
from streams.kafka.fatal import die
from streams.kafka.producer import Headers
from streams.kafka.security import for_librdkafka
from streams.kafka.topic_ids import TopicWatch
from streams.kafka.topics import Topics
from streams.metrics.health import on_loop
from streams.metrics.serve import ServeMetrics
from streams.serve import chat
from streams.serve.batch_routes import BatchRoutes
from streams.serve.batch_store import Store
from streams.serve.batch_worker import BatchWorker
from streams.serve.bounds import KeptAnswers, Rates, read_body
from streams.serve.errors import ApiError, of_answer, of_query, too_many
from streams.serve.keys import Caller, bearer, find_caller
from streams.tracing.context import carrying, of_http
from streams.tracing.spans import Span, tracer

logger = logging.getLogger(__name__)

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class Front:
    """Answers requests, each by a query of its own."""

    def __init__(self, config: Config, metrics: ServeMetrics) -> None:
        """Open nothing yet: the application does when it starts."""
        self._settings = config.serve
        self._retry_seconds = config.deferral.retry_seconds
        self._calendar = Calendar(config.windows())
        self._metrics = metrics
        self._rates = Rates(config.serve.rate)
        self._kept = KeptAnswers(config.serve.idempotency_seconds)
        self._in_flight = 0
        self._store = store = Store(config)
        self._batch_routes = BatchRoutes(store, config.serve.body_seconds)
        self._batch_worker = BatchWorker(config, store)
        names = _read_topics(Topics(config.topics.prefix))
        self._watch = TopicWatch(for_librdkafka(config.broker), names, die)
        metrics.set_in_flight(lambda: self._in_flight)
        self.client = AsyncClient(
            config,
            kept=lambda key: key.startswith(chat.IDEMPOTENT.encode()),
            keep=self._kept.keep,
            since=time.time() - config.serve.idempotency_seconds,
        )

    def app(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/health", self._health),
            self._route("POST", "/v1/chat/completions", self._chat),
            self._route("GET", "/v1/models", self._models),
            self._route("GET", "/v1/models/{model:path}", self._model),
            self._route("POST", "/v1/files", self._batch_routes.upload),
            self._route("GET", "/v1/files", self._batch_routes.files),
            self._route("GET", "/v1/files/{id}", self._batch_routes.file),
            self._route("DELETE", "/v1/files/{id}", self._batch_routes.delete),
            self._route("GET", "/v1/files/{id}/content", self._batch_routes.content),
            self._route("POST", "/v1/batches", self._batch_routes.create),
            self._route("GET", "/v1/batches", self._batch_routes.batches),
            self._route("GET", "/v1/batches/{id}", self._batch_routes.batch),
            self._route("POST", "/v1/batches/{id}/cancel", self._batch_routes.cancel),
        ]
        handlers = {ApiError: _explain, HTTPException: _explain_http, Exception: _explain_defect}
        return Starlette(routes=routes, exception_handlers=handlers, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self.client, self._store:
            watch = asyncio.create_task(self._watch.watch())
            batches = asyncio.create_task(self._batch_worker.run())
            self._metrics.set_health(on_loop(self._not_ready))
            yield
            watch.cancel()
            batches.cancel()
            with suppress(asyncio.CancelledError):
                await batches

    def _not_ready(self) -> list[str]:
        return [] if self.client.failure is None else [self.client.failure]

    def _route(self, method: str, path: str, endpoint: Endpoint) -> Route:
        """Wrap an endpoint: who asks, how often, and what it was answered with."""

        async def answer(request: Request) -> Response:
            began, status = time.monotonic(), 500
            incoming = of_http(request.headers)
            span = _span(method, path, incoming)
            headers = span.carried(incoming)
            try:
                with carrying(headers):
                    response = await _answered(endpoint, request, self._caller(request))
                status = response.status_code
                return response
            except ApiError as error:
                status = error.status
                raise
            finally:
                self._metrics.answered(path, status, time.monotonic() - began, headers)
                _end(span, status)

        return Route(path, answer, methods=[method])

    def _caller(self, request: Request) -> Caller:
        credential = bearer(request.headers.get("authorization"))
        caller = find_caller(self._settings.keys, credential)
        if caller is None:
            words = "no such API key: send one that `sluice key new` made, as Authorization: Bearer"
            raise ApiError(401, "invalid_api_key", words)
        self._rates.take(caller.name)
        return caller

    @contextmanager
    def _slot(self) -> Iterator[None]:
        """Hold one of the requests that may be in flight."""
        if self._in_flight >= self._settings.in_flight:
            words = f"{self._in_flight} requests are in flight, and no more are taken"
            raise too_many("too_many_requests", words, 1)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    async def _health(self, request: Request) -> Response:
        failure = self.client.failure
        status = 200 if failure is None else 503
        return JSONResponse({"status": failure or "ok"}, status)

    async def _models(self, request: Request, caller: Caller) -> Response:
        names = ["auto", *self.client.models]
        return JSONResponse({"object": "list", "data": [_described(name) for name in names]})

    async def _model(self, request: Request, caller: Caller) -> Response:
        name = request.path_params["model"]
        if name not in ("auto", *self.client.models):
            raise ApiError(404, "model_not_found", f"there is no model {name[:100]!r}", "model")
        return JSONResponse(_described(name))

    async def _chat(self, request: Request, caller: Caller) -> Response:
        # A body on its way takes no slot: slow clients would keep all others out.
        body = await read_body(request, MAX_BYTES, self._settings.body_seconds)
        with self._slot():
            asked = chat.read(
                body,
                request.headers,
                caller,
                self.client.models,
                self._settings.deadline_seconds,
                uuid.uuid4().hex,
            )
            try:
                answer = await self._ask(asked)
            except QueryError as error:
                raise of_query(error, self._retry_after(asked)) from None
        if (lost := of_answer(answer)) is not None:
            raise lost
        whole, headers = chat.completion(answer, int(time.time())), chat.described(answer)
        if not asked.stream:
            return JSONResponse(whole, headers=headers)
        # The words are all there: models are asked for whole answers, which can be charged.
        stream = b"".join(chat.events(whole, asked.usage))
        headers["cache-control"] = "no-cache"
        return Response(stream, headers=headers, media_type="text/event-stream")

    async def _ask(self, asked: chat.Request) -> Answer:
        kept = self._kept.get(asked.query.id)
        if kept is not None:
            return kept
        return await self.client.ask(asked.query, self._settings.deferred_seconds)

    def _retry_after(self, asked: chat.Request) -> float:
        """Seconds until a budget that could hold the query begins again."""
        now = time.time()
        ends = self._calendar.ends(now)
        allowed = asked.query.allowed_models or list(ends)
        return min(
            (ends[name] - now for name in allowed if name in ends), default=self._retry_seconds
        )


async def _answered(endpoint: Endpoint, request: Request, caller: Caller) -> Response:
    """Return an endpoint's answer, or say that what it needs is away."""
    try:
        return await endpoint(request, caller)
    except (BrokerError, KafkaException, OSError) as error:
        logger.error("%s %s: %s", request.method, request.url.path[:200], error)
        words = "the broker, or what keeps the files, does not answer; try again later"
        raise ApiError(503, "unavailable", words, headers={"retry-after": "5"}) from None


def _read_topics(topics: Topics) -> Sequence[str]:
    """Names of the topics whose offsets a front knows, its page included."""
    return (
        topics.queries,
        topics.results,
        topics.rejected,
        topics.receipts,
        topics.control,
        topics.prices,
        topics.share_reports,
        topics.batches,
    )


def _span(method: str, path: str, incoming: Headers) -> Span:
    """Begin the span of a request. incoming: the trace's headers that came with it."""
    attributes = {"http.request.method": method, "http.route": path, "url.scheme": "http"}
    return tracer().start(f"{method} {path}", "server", incoming, attributes)


def _end(span: Span, status: int) -> None:
    span.note({"http.response.status_code": status})
    if status >= 500:
        span.fail(str(status))
    span.end()


def _described(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "sluice"}


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status, error.headers)


async def _explain_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "invalid_request"
    words = f"{request.method} {request.url.path[:200]}: {error.detail}"
    body = ApiError(error.status_code, code, words).body
    return JSONResponse(body, error.status_code, error.headers)


async def _explain_defect(request: Request, error: Exception) -> Response:
    body = ApiError(500, "internal_error", "an internal error; the log of the server has more").body
    return JSONResponse(body, 500)
