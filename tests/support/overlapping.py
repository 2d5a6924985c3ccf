"""Limits that overlap, each of another unit, window or scope, and pools, for whole systems."""

from __future__ import annotations

TENANTS = (None, "shop", "bank", "guest")
"""Those that `overlapping` tells apart, in the order in which queries name them."""


def overlapping(money: int, calls: int, tokens: int = 10**9) -> dict[str, dict[str, object]]:
    """One budget for all, less for a provider, a part for each tenant, tokens and calls a minute.

    Args:
        money: Nano-units for all models and tenants together.
        calls: Queries a minute.
        tokens: Reserved tokens a minute.

    Returns:
        Sections of sluice.toml.
    """
    return {
        "limits.all": {"amount": f"{money / 1e9:.9f}"},
        "limits.mistral": {"amount": f"{money / 3e9:.9f}", "models": ["mi*"]},
        "limits.fair": {"amount": f"{money / 4e9:.9f}", "tenants": "each"},
        "limits.tokens": {"amount": tokens, "unit": "tokens", "window": "minute"},
        "limits.calls": {"amount": calls, "unit": "requests", "window": "minute"},
        "deferral": {"retry_seconds": 1},
    }


def two_pools(model: str, capacity: int) -> dict[str, dict[str, object]]:
    """Two pools of a model, of which the shorter one spills from `capacity` queries under way on.

    Returns:
        Sections of sluice.toml.
    """
    return {
        f'models."{model}".pools.short': {"context": 10**6, "capacity": capacity},
        f'models."{model}".pools.long': {"context": 10**7},
    }
