"""A whole Sluice with HTTP fronts, whose models repeat the words of a query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

from tests.support.child import Child
from tests.support.front import free_port
from tests.support.patience import PATIENCE
from tests.support.system import System

PRICES = {"input_price": "1", "output_price": "2", "max_output_tokens": 100}
LIMIT = 10**12
"""Nano-units that each model may spend."""


@dataclass
class Serving(System):
    """Start what is needed by name; `url` and `client` reach a front."""

    ports: dict[str, int] = field(default_factory=dict)
    more: dict[str, dict[str, object]] = field(default_factory=dict)
    """Sections of sluice.toml beside the models' prices."""

    def __post_init__(self) -> None:
        own = {f'models."{model}"': dict(PRICES) for model in self.models}
        self.settings = {**own, "reservation": {"mode": "max"}, **self.more, **self.settings}
        super().__post_init__()
        self.limits = [LIMIT] * len(self.models)

    def begin(self, *models: str) -> None:
        """A router, a worker for some models (all, where none is named) and a front."""
        self.start_echo("echo", *models)
        self.start_router("r0")
        self.start_front("serve")
        self.wait_fronts("serve")
        self.wait_members(1)

    def start_front(self, name: str) -> Child:
        """Start `sluice serve`, again on the same port after its end."""
        port = self.ports.setdefault(name, free_port())
        return self.run(name, "serve", "--config", str(self.config), "--http", f"127.0.0.1:{port}")

    def start_echo(self, name: str, *models: str) -> Child:
        """Start a worker that repeats the words: for some models, or for all."""
        served = models or self.models
        return self.run(name, "work", *served, "--config", str(self.config), "--echo")

    def wait_fronts(self, *names: str) -> None:
        """Wait until fronts answer."""
        for name in names:
            self.wait(f"the front {name}", lambda: self.healthy(name))  # noqa: B023  # awaited here

    def healthy(self, name: str) -> bool:
        """Whether a front answers."""
        try:
            return httpx.get(f"{self.url(name)}/health", timeout=PATIENCE).status_code == 200
        except httpx.TransportError:
            return False

    def url(self, name: str = "serve") -> str:
        """Where a front is."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def client(self, name: str = "serve", **settings: Any) -> openai.OpenAI:
        """OpenAI's own client."""
        given = {"timeout": PATIENCE, **settings}
        return openai.OpenAI(base_url=f"{self.url(name)}/v1", api_key="none", **given)

    def spent(self) -> int:
        """Nano-units that the partitions have settled."""
        states = self.states().values()
        return sum(account.spent for state in states for account in state.accounts.values())
