"""What Prometheus is told of a worker process."""

from __future__ import annotations

import msgspec
import pytest

from router.models.catalog import Model
from schemas import Result
from schemas.result import Usage
from streams.metrics.worker import WorkMetrics
from tests.support.scrape import scrape


def test_a_worker_counts_its_results() -> None:
    """By model and status, with what they used; a model without any is there at 0."""
    metrics, waiting = WorkMetrics(), 3
    metrics.add_model("small", lambda: waiting, lambda: False, Model("small", 10**9, 2 * 10**9))
    metrics.add_model("large", lambda: 0)
    answer = Result(
        id="q",
        decision_id="queries/0/0",
        model="small",
        status_code=200,
        usage=Usage(prompt_tokens=20, completion_tokens=7),
        cost=1_500_000_000,
        duration=0.3,
        attempts=2,
    )
    metrics.answered(answer)
    metrics.answered(msgspec.structs.replace(answer, usage=None, cost=None, status_code=503))
    metrics.answered(msgspec.structs.replace(answer, cost=None))
    waiting = 1
    found = scrape(metrics)
    assert found["sluice_work_results_total", "small", "ok"] == 2
    assert found["sluice_work_results_total", "small", "failed"] == 1
    assert found["sluice_work_results_total", "large", "ok"] == 0
    assert found["sluice_work_attempts_total", "small"] == 6
    assert found["sluice_work_tokens_total", "prompt", "small"] == 40
    assert found["sluice_work_tokens_total", "completion", "small"] == 14
    assert found["sluice_work_cost_total", "small"] == pytest.approx(1.5 + (20 + 2 * 7) / 10**6)
    assert found["sluice_work_duration_seconds_bucket", "0.25", "small"] == 0
    assert found["sluice_work_duration_seconds_bucket", "0.5", "small"] == 3
    assert found["sluice_work_unanswered", "small"] == 1
    assert found["sluice_work_backend_up", "small"] == 0
    assert found["sluice_work_backend_up", "large"] == 1
