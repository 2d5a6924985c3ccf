"""What operators have said on the topic `control`, folded: closed models, and other limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from router.arrays import Bools
from router.ledger import account_key, owner
from schemas.control import BudgetControl, Control, ModelControl


class Registry:
    """The state that all control messages so far add up to. Later ones win, key by key."""

    def __init__(self, tenants: Iterable[str] = ()) -> None:
        """`tenants`: the accounts of tenants that the configuration limits (`account_key`)."""
        self._closed: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self.tenants = frozenset(tenants)
        """Names of all accounts of tenants that have a limit."""
        self.version = 0
        """Control messages taken so far, those that changed nothing too."""

    def take(self, message: Control) -> str | None:
        """Fold one message in. Returns why it cannot be followed, or None."""
        self.version += 1
        if isinstance(message, BudgetControl):
            account = account_key(message.model, message.tenant)
            self._limits[account] = message.limit
            if message.tenant is not None:
                self.tenants |= {account}
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
        """Nano-units by account: as configured, or set here for a configured model."""
        here = {name: limit for name, limit in self._limits.items() if owner(name)[0] in configured}
        return dict(configured) | here
