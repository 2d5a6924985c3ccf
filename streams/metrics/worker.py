"""Prometheus metrics of a worker process."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from router.budget.charges import cost_of
from router.models.catalog import Model, ModelCatalog
from router.models.pools import served
from schemas.fields import NANO
from schemas.result import Result
from streams.kafka.producer import Headers
from streams.metrics.exemplars import exemplar
from streams.metrics.health import WELL, Health
from streams.metrics.server import serve

DURATION = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Upper bounds of the histogram's buckets, seconds."""


class WorkMetrics:
    """Counts results whose record the broker has acknowledged."""

    def __init__(self) -> None:
        self._prices: dict[str, ModelCatalog] = {}
        registry = self._registry = CollectorRegistry()
        self._results = Counter(
            "sluice_work_results_total",
            "Results that have left (ok, failed).",
            ("model", "status"),
            registry=registry,
        )
        self._attempts = Counter(
            "sluice_work_attempts_total",
            "Calls that were made for them, so more where calls were repeated.",
            ("model",),
            registry=registry,
        )
        self._duration = Histogram(
            "sluice_work_duration_seconds",
            "From the first call for an answer to its end.",
            ("model",),
            buckets=DURATION,
            registry=registry,
        )
        self._tokens = Counter(
            "sluice_work_tokens_total",
            "Tokens that models say they have used (prompt, completion).",
            ("model", "kind"),
            registry=registry,
        )
        self._cost = Counter(
            "sluice_work_cost_total",
            "What the results cost, known or estimated, in units of currency.",
            ("model",),
            registry=registry,
        )
        self._backend_up = Gauge(
            "sluice_work_backend_up",
            "1 while the model's server takes calls; 0 while no queries are taken for it.",
            ("model",),
            registry=registry,
        )
        self._unanswered = Gauge(
            "sluice_work_unanswered",
            "Routed queries that this process has taken and not answered yet.",
            ("model",),
            registry=registry,
        )

    def add_model(
        self,
        model: str,
        unanswered: Callable[[], int],
        backend_up: Callable[[], bool] = lambda: True,
        priced: Model | None = None,
    ) -> None:
        """Export a model's counts from 0.

        Args:
            model: The model, or its pool, as `served` names them.
            unanswered: Called at every scrape.
            backend_up: Called at every scrape.
            priced: The model's prices; without them only costs that are told count.
        """
        self._prices[model] = ModelCatalog([priced or Model(model, 0, 0)])
        for status in ("ok", "failed"):
            self._results.labels(model, status)
        for kind in ("prompt", "completion"):
            self._tokens.labels(model, kind)
        for metric in (self._attempts, self._duration, self._cost):
            metric.labels(model)
        self._unanswered.labels(model).set_function(unanswered)
        self._backend_up.labels(model).set_function(backend_up)

    def answered(self, result: Result, headers: Headers = ()) -> None:
        """Count one result. headers: of its record, with the trace that it belongs to."""
        model = served(result.model, result.pool)
        self._results.labels(model, "ok" if result.status_code < 300 else "failed").inc()
        self._attempts.labels(model).inc(result.attempts)
        if result.duration is not None:
            self._duration.labels(model).observe(result.duration, exemplar(headers))
        if result.usage is not None:
            self._tokens.labels(model, "prompt").inc(result.usage.prompt_tokens)
            self._tokens.labels(model, "completion").inc(result.usage.completion_tokens)
        self._cost.labels(model).inc(cost_of(result, self._prices[model], 0) / NANO)

    def serve(self, host: str, port: int, health: Health = WELL) -> Callable[[], None]:
        """Serve metrics and probes over HTTP; see `streams.metrics.server.serve`."""
        return serve(self._registry, host, port, health)
