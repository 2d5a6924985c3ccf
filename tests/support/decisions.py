"""Receipts, results and reports as routers and workers write them, for tests of what reads them."""

from __future__ import annotations

from typing import Any

from schemas import Receipt, Result, ShareReport, ShareUse
from schemas.fields import NANO, Source


def receipt(number: int, model: str | None = "small", **fields: Any) -> Receipt:
    """A decision on query `q<number>`, at second 1000 + number."""
    estimates = {"quality": {"small": 0.5, "large": 0.8}, "cost": {"small": 100, "large": 400}}
    given: dict[str, Any] = {
        "id": f"q{number}",
        "decision_id": f"queries/0/{number}",
        "decision": "deferred" if model is None else "routed",
        "reason": "not_worth" if model is None else "best",
        "policy": "primal-dual",
        "source": Source("queries", 0, number),
        "decided_at": 1000.0 + number,
        "model": model,
        "price_version": 3,
        "reserved": 0 if model is None else 1000,
        "max_tokens": None if model is None else 10,
        **estimates,
    }
    return Receipt(**given | fields)


def result(number: int, model: str = "small", **fields: Any) -> Result:
    """The answer to it."""
    given: dict[str, Any] = {"status_code": 200, "cost": 100, "score": 1.0}
    ids = {"id": f"q{number}", "decision_id": f"queries/0/{number}", "model": model}
    return Result(**ids | given | fields)


def report(partition: int = 0, spent: int = NANO // 4, **fields: Any) -> ShareReport:
    """A partition's report: a quarter of a unit of small's limit is spent, a tenth reserved."""
    use = ShareUse(share=NANO, reserved=NANO // 10, spent=spent)
    given: dict[str, Any] = {"sequence": 1, "arrivals": 1, "models": {"small": use}}
    return ShareReport(partition=partition, **given | fields)
