"""What operators have said on the topic `control`, folded: closed models, and other limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from router.arrays import Bools
from schemas.control import BudgetControl, Control, ModelControl


class Registry:
    """The state that all control messages so far add up to. Later ones win, key by key."""

    def __init__(self) -> None:
        self._closed: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self.version = 0
        """Control messages taken so far, those that changed nothing too."""

    def take(self, message: Control) -> str | None:
        """Fold one message in. Returns why it cannot be followed, or None."""
        self.version += 1
        if isinstance(message, BudgetControl):
            if message.tenant is not None:
                return "budgets of tenants are not supported yet"
            self._limits[message.model] = message.limit
            return None
        return self._model(message)

    def _model(self, message: ModelControl) -> str | None:
        if message.action == "add":
            return "a model is added in sluice.toml and the index, and the routers are restarted"
        if message.action == "resume":
            self._closed.pop(message.name, None)
        else:
            self._closed[message.name] = message.action
        return None

    def status(self, model: str) -> str:
        """Return "open", "paused" or "removed"."""
        return {"pause": "paused", "remove": "removed"}.get(self._closed.get(model, ""), "open")

    def open(self, models: Sequence[str]) -> Bools:
        """bool[M]: which models take new queries. What is reserved settles in any case."""
        return np.array([model not in self._closed for model in models], dtype=np.bool_)

    def limits(self, configured: Mapping[str, int]) -> dict[str, int]:
        """Nano-units by model: as set here, else as configured."""
        return {model: self._limits.get(model, limit) for model, limit in configured.items()}
