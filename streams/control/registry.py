"""The state that admin commands on the topic `control` add up to: models and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np

from router.arrays import Bools
from router.budget.ledger import account_key, owner
from router.models.catalog import Model
from router.policies.floors import Floors
from schemas import Invalid
from schemas.control import (
    BudgetControl,
    Control,
    FloorControl,
    ModelControl,
    control_key,
    decode_control,
)
from streams.kafka.logs import Record

MOST_MODELS = 256
"""Most models of a deployment; a configuration may have as many."""


class Registry:
    """The state after all commands so far; of one key, the last command wins."""

    def __init__(self, tenants: Iterable[str] = (), models: Iterable[str] = ()) -> None:
        """Begin without commands.

        Args:
            tenants: accounts of tenants that the configuration limits (`account_key`).
            models: names of the configured models.
        """
        self._configured = frozenset(models)
        self.added: dict[str, ModelControl] = {}
        """The commands that added models, by model name, in the order of the log."""
        self._closed: dict[str, str] = {}
        self._limits: dict[str, int] = {}
        self._floors: dict[str | None, float | None] = {}
        self.tenants = frozenset(tenants)
        """Names of all accounts of tenants that have a limit."""
        self.version = 0
        """The offset after the last record: their number, where none has been compacted away."""

    @classmethod
    def of(
        cls, records: Iterable[Record], tenants: Iterable[str] = (), models: Iterable[str] = ()
    ) -> Self:
        """Apply the records of the topic, from its first."""
        registry = cls(tenants, models)
        for record in records:
            registry.read(record.key, record.value, record.offset)
        return registry

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> str | None:
        """Apply one record.

        A record whose key is not its message's is ignored: compaction would keep it beside others
        that it should replace, or drop one that it should not.

        Returns:
            The reason why it is ignored, or None.
        """
        refusal = None
        try:
            if value is not None:
                message = decode_control(value)
                if key == (wanted := control_key(message).encode()):
                    refusal = self.take(message)
                else:
                    refusal = f"its key must be {wanted.decode()!r}"
        except Invalid as error:
            refusal = error.reason
        self.version = offset + 1
        return refusal

    def take(self, message: Control) -> str | None:
        """Apply one command.

        Returns:
            The reason why it cannot be applied, or None.
        """
        self.version += 1
        if isinstance(message, BudgetControl):
            account = account_key(message.model, message.tenant)
            self._limits[account] = message.limit
            if message.tenant is not None:
                self.tenants |= {account}
            return None
        if isinstance(message, FloorControl):
            self._floors[message.tenant] = message.floor
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
            return None  # it has been added to sluice.toml since
        if message.name in self.added:
            return f"a model {message.name!r} already exists"
        if len(self._configured) + len(self.added) >= MOST_MODELS:
            return f"there are already {MOST_MODELS} models, the maximum"
        self.added[message.name] = message
        return None

    def newcomers(self) -> list[Model]:
        """Return the models added by commands, in the order of the log."""
        return [
            Model(
                name,
                command.input_price or 0,
                command.output_price or 0,
                command.max_output_tokens,
                command.context,
                command.cached_input_price,
                command.image_tokens,
                command.audio_tokens,
                frozenset(command.allow_fields),
                command.retry_uncertain,
            )
            for name, command in self.added.items()
        ]

    def status(self, model: str) -> str:
        """Return "open", "new" (open, and not in an index yet), "paused" or "removed"."""
        is_open = "new" if model in self.added else "open"
        return {"pause": "paused", "remove": "removed"}.get(self._closed.get(model, ""), is_open)

    @property
    def closed(self) -> frozenset[str]:
        """The models that are paused or removed."""
        return frozenset(self._closed)

    def open(self, models: Sequence[str]) -> Bools:
        """Return which models take new queries, bool[M]. Reservations settle in any case."""
        return np.array([model not in self._closed for model in models], dtype=np.bool_)

    def floors(self, configured: Floors | None) -> Floors | None:
        """Return the quality floors: as configured, unless a command set one."""
        if configured is None:
            return None
        set_now = {tenant: floor for tenant, floor in self._floors.items() if floor is not None}
        own = {tenant: floor for tenant, floor in set_now.items() if tenant is not None}
        usual = set_now.get(None, configured.usual)
        return Floors(usual, {**configured.tenants, **own})

    def limits(self, configured: Mapping[str, int]) -> dict[str, int]:
        """Return nano-units by account: as configured or added, unless a command set the limit."""
        added = {name: command.limit or 0 for name, command in self.added.items()}
        configured = dict(configured) | added
        here = {name: limit for name, limit in self._limits.items() if owner(name)[0] in configured}
        return configured | here

    def allotted(self, configured: Mapping[str, int], part: float) -> dict[str, int]:
        """Return `limits`, with those of newcomers reduced to a part (0 to 1) for their trial."""
        limits = self.limits(configured)
        return limits | {name: int(limits[name] * part) for name in self.added}
