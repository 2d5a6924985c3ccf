"""How a demo's money is limited: a budget a model, one for all of them, or limits that overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from router.evaluation import budgets
from router.evaluation.experiment import EvaluationData, Setting
from router.evaluation.limit_file import FileLimit
from router.pricing.coverage import SHARED
from schemas.fields import NANO

Limiting = Literal["models", "shared", "overlapping"]
SPLITS: Mapping[Limiting, str] = {
    "models": "weighted",
    "shared": budgets.SHARED,
    "overlapping": budgets.GIVEN,
}
"""The evaluation's name of each."""
PROVIDER = "provider"
PROVIDER_PART = 0.5
"""Of all the money: what the dearer half of the models may spend, which stands for a provider."""
TENANTS = ("shop", "bank", "lab")
TENANT_PART = 0.4
"""Of all the money: what each of the three may spend, who ask a third of the queries each."""
BURST = 1.5
"""Tokens a minute, in those of an average minute."""
PROMPT = 128
"""Tokens that a router adds to the bytes of a prompt."""

Sections = dict[str, dict[str, object]]


def setting(limiting: Limiting, data: EvaluationData, multiple: float, seed: int) -> Setting:
    """Return the setting of the offline runs, and give the data the limits that it needs.

    Offline runs have neither tenants nor times: of limits that overlap they know those of money,
    for all models and for the provider.

    Args:
        limiting: How the money is limited.
        data: History and queries.
        multiple: The money, in what the cheapest model needs for all queries.
        seed: Of the split.
    """
    models = data.queries.models
    if limiting == "overlapping":
        total = float(budgets.shared(data.queries, multiple)[1][0])
        data.limits = (
            FileLimit(SHARED, total, 0, ("*",)),
            FileLimit(PROVIDER, np.floor(total * PROVIDER_PART), 0, dearer_half(data)),
        )
        multiple = 1.0
    return Setting(multiple, SPLITS[limiting], len(models), seed)


def dearer_half(data: EvaluationData) -> tuple[str, ...]:
    """Return the names of the models that cost most in the history."""
    models, means = data.history.models, np.nanmean(data.history.costs, axis=0)
    order = np.argsort(means, kind="stable")[len(models) // 2 :]
    return tuple(models[i] for i in sorted(order.tolist()))


def sections(
    limiting: Limiting, data: EvaluationData, limits: Sequence[int], rate: float
) -> Sections:
    """Return the sections of sluice.toml that limit what is spent.

    Args:
        limiting: How the money is limited.
        data: History and queries.
        limits: The amounts of the offline problem, nano-units.
        rate: Queries a second.
    """
    if limiting == "models":
        names = data.queries.models
        return {
            f"models.{name}": {"budget.limit": dollars(limit)}
            for name, limit in zip(names, limits, strict=True)
        }
    found: Sections = {"budget": {"total": dollars(limits[0])}}
    if limiting == "overlapping":
        total, prompts = limits[0], data.queries.prompts
        tokens = total + sum(len(prompt.encode()) + PROMPT for prompt in prompts)
        minutes = max(len(prompts) / rate / 60, 1.0)
        found |= {
            f"limits.{PROVIDER}": {"amount": dollars(limits[1]), "models": dearer_half(data)},
            "limits.tenant": {"amount": dollars(int(total * TENANT_PART)), "tenants": "each"},
            "limits.tokens": {
                "amount": round(BURST * tokens / minutes),
                "unit": "tokens",
                "window": "minute",
            },
        }
    return found


def paying(limiting: Limiting, models: Sequence[str]) -> tuple[str, ...]:
    """Return the limits that together hold all the money, each part of it once."""
    return tuple(models) if limiting == "models" else (SHARED,)


def dollars(amount: int) -> str:
    """Return nano-dollars as sluice.toml takes them."""
    return f"{amount // NANO}.{amount % NANO:09d}"
