"""What operators have said on the topic `control`, folded: models added and closed, and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np

from router.arrays import Bools
from router.budget.ledger import account_key, owner
from router.models.catalog import Model
from schemas import Invalid
from schemas.control import BudgetControl, Control, ModelControl, control_key, decode_control
from streams.kafka.logs import Record

MOST_MODELS = 256
"""As many as a configuration may have."""


class Registry:
    """The state that all control messages so far add up to. Later ones win, key by key."""

    def __init__(self, tenants: Iterable[str] = (), models: Iterable[str] = ()) -> None:
        """`tenants`: the accounts of tenants that the configuration limits (`account_key`); models:
        those that it names.
        """
        self._configured = frozenset(models)
        self.added: dict[str, ModelControl] = {}
        """The orders that added models, by name, in their order."""
        self._closed: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self.tenants = frozenset(tenants)
        """Names of all accounts of tenants that have a limit."""
        self.version = 0
        """The offset after the last record: their number, where none has been compacted away."""

    @classmethod
    def of(
        cls, records: Iterable[Record], tenants: Iterable[str] = (), models: Iterable[str] = ()
    ) -> Self:
        """Fold records of the topic, from its first."""
        registry = cls(tenants, models)
        for record in records:
            registry.read(record.key, record.value, record.offset)
        return registry

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> str | None:
        """Fold one record in. Returns why it is passed over, or None.

        A record with another key than its message's is passed over: compaction would keep it
        beside others that it should replace, or drop one that it should not.
        """
        why_not = None
        try:
            if value is not None:
                message = decode_control(value)
                if key == (wanted := control_key(message).encode()):
                    why_not = self.take(message)
                else:
                    why_not = f"its key must be {wanted.decode()!r}"
        except Invalid as error:
            why_not = error.reason
        self.version = offset + 1
        return why_not

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
            return self._add(message)
        if message.action == "resume":
            self._closed.pop(message.name, None)
        else:
            self._closed[message.name] = message.action
        return None

    def _add(self, message: ModelControl) -> str | None:
        if message.name in self._configured:
            return None  # it has found its way into sluice.toml since
        if message.name in self.added:
            return f"a model {message.name!r} is known already"
        if len(self._configured) + len(self.added) >= MOST_MODELS:
            return f"there are {MOST_MODELS} models, and more cannot be"
        self.added[message.name] = message
        return None

    def newcomers(self) -> list[Model]:
        """The models that orders have added, in their order."""
        return [
            Model(
                name,
                order.input_price or 0,
                order.output_price or 0,
                order.max_output_tokens,
                order.context,
            )
            for name, order in self.added.items()
        ]

    def status(self, model: str) -> str:
        """Return "open", "new" (open, and not in an index yet), "paused" or "removed"."""
        is_open = "new" if model in self.added else "open"
        return {"pause": "paused", "remove": "removed"}.get(self._closed.get(model, ""), is_open)

    def open(self, models: Sequence[str]) -> Bools:
        """bool[M]: which models take new queries. What is reserved settles in any case."""
        return np.array([model not in self._closed for model in models], dtype=np.bool_)

    def limits(self, configured: Mapping[str, int]) -> dict[str, int]:
        """Nano-units by account: as configured or added, or set here for such a model."""
        added = {name: order.limit or 0 for name, order in self.added.items()}
        configured = dict(configured) | added
        here = {name: limit for name, limit in self._limits.items() if owner(name)[0] in configured}
        return configured | here

    def allotted(self, configured: Mapping[str, int], part: float) -> dict[str, int]:
        """`limits`, of which newcomers may only use a part (of 1) to be tried."""
        limits = self.limits(configured)
        return limits | {name: int(limits[name] * part) for name in self.added}
