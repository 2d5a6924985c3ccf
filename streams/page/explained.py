"""One decision in words and figures, for a person who has never seen Sluice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.budget.ledger import account_words
from router.policies.base import REASONS
from schemas import Receipt, Result
from schemas.fields import NANO
from streams.verify.explanation import Explanation

_DECISIONS = {"deferred": "waits", "rejected": "was refused", "duplicate": "was sent before"}


def explained(
    receipt: Receipt, result: Result | None, prices: Mapping[str, float] | None, cost: int | None
) -> dict[str, Any]:
    """Return a decision for JSON, amounts in units of currency.

    Args:
        receipt: The decision.
        result: What the model answered; None before.
        prices: Those of the receipt's version, quality per nano-unit by model; None where they are
            not known (any more).
        cost: Nano-units charged, where they are known.
    """
    found = Explanation(receipt.id, None, [receipt])
    if prices is not None:
        found.prices[receipt.price_version] = prices
    scores, short = found.scores(receipt), found.short_of_money(receipt)
    names = [account_words(name) for name in receipt.short_of]
    return {
        "id": receipt.id,
        "decision_id": receipt.decision_id,
        "at": receipt.decided_at,
        "decision": receipt.decision,
        "model": receipt.model,
        "reason": receipt.reason,
        "tenant": receipt.tenant,
        "why": _sentence(receipt, names or short),
        "reserved": receipt.reserved / NANO,
        "max_tokens": receipt.max_tokens,
        "bound": receipt.bound,
        "price_version": receipt.price_version,
        "neighbours": receipt.neighbours,
        "propensity": receipt.propensity,
        "models": [
            {
                "model": model,
                "quality": quality,
                "cost": receipt.cost.get(model, 0) / NANO,
                "price": None if prices is None else prices.get(model, 0.0) * NANO,
                "score": scores.get(model),
                "short": model in short,
            }
            for model, quality in receipt.quality.items()
        ],
        "excluded": receipt.excluded,
        "result": None if result is None else _result(result, cost),
    }


def _sentence(receipt: Receipt, short: list[str]) -> str:
    went = f"went to {receipt.model}" if receipt.model else _DECISIONS[receipt.decision]
    words = f"It {went}: {REASONS.get(receipt.reason, receipt.reason)}."
    return f"{words} No room in: {', '.join(short)}." if short else words


def _result(result: Result, cost: int | None) -> dict[str, Any]:
    return {
        "status": result.status_code,
        "error": None if result.error is None else result.error.message[:300],
        "cost": None if cost is None else cost / NANO,
        "estimated": result.estimated,
        "score": result.score,
        "seconds": result.duration,
        "cut": result.cut,
    }
