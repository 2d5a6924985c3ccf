"""How a judge model is asked: as one of the deployment's models, or at a server of its own."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Protocol

from router.models.catalog import Model, ModelCatalog
from schemas.fields import Source
from schemas.query import Query
from schemas.route import Routed
from schemas.sendable import api_key
from streams.client.answers import Ending, of_result
from streams.client.asynchronous import AsyncClient
from streams.client.earlier import Earlier
from streams.client.errors import QueryError
from streams.client.runs import RUN
from streams.config.judge import JudgeSettings
from streams.judge.verdict import TOKENS, Message
from streams.worker.backends.base import Backend, BackendUnavailable
from streams.worker.backends.openai import OpenAI

OVERHEAD = 64
"""Tokens that a server's chat template may add."""
WAIT = 5.0
"""Seconds until a server that takes no calls is asked again, where it does not say."""
ASKS = 60
"""Times that it is asked at most."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call. text: None where there is no answer; cost: nano-units charged."""

    text: str | None
    cost: int
    reason: str = ""


class Calls(Protocol):
    """Asks a judge model."""

    def bound(self, messages: list[Message]) -> int:
        """Return the most nano-units that a call may cost."""
        ...

    async def ask(self, id: str, messages: list[Message]) -> Reply:
        """Make a call, or read the answer of the same call made before."""
        ...


class RoutedCalls:
    """Asks a model of the deployment, through its routers, workers and limits."""

    def __init__(
        self, client: AsyncClient, earlier: Earlier, model: Model, tenant: str | None, wait: float
    ) -> None:
        """Args:
        client: Open.
        earlier: Answers to the same ids, of a run before.
        model: The judge.
        tenant: On whose behalf it is asked.
        wait: Seconds for which a call may wait for money.
        """
        self._client, self._earlier, self._model = client, earlier, model
        self._tenant, self._wait = tenant, wait

    def bound(self, messages: list[Message]) -> int:
        """Return the most nano-units that a call may cost."""
        return _bound(self._model, messages)

    async def ask(self, id: str, messages: list[Message]) -> Reply:
        """Make a call. A call of the same id is answered once, whatever is killed."""
        answer = self._earlier.pop(id)
        if answer is None:
            query = Query(
                id=id,
                payload={"messages": messages, "max_tokens": TOKENS, "temperature": 0},
                allowed_models=[self._model.name],
                tenant=self._tenant,
                deadline=time.time() + self._wait,
                metadata={RUN: id.partition("/")[0]},
            )
            try:
                answer = await self._client.ask(query)
            except QueryError as error:
                return _reply(error, 0)
        return _reply(answer, self.bound(messages))


class EndpointCalls:
    """Asks a model at a server of its own; nothing but the run's budget limits it."""

    def __init__(self, backend: Backend, model: Model) -> None:
        """Args:
        backend: Calls the server.
        model: With its prices.
        """
        self._backend, self._model = backend, model

    @classmethod
    def of(cls, settings: JudgeSettings, connections: int) -> EndpointCalls:
        """Return the calls to the configured server."""
        assert settings.base_url is not None
        model = settings.priced()
        key = api_key(settings.api_key_env, os.environ) if settings.api_key_env else None
        return cls(
            OpenAI(
                model.name,
                settings.base_url,
                key,
                settings.timeout,
                connections=connections,
                priced=model,
            ),
            model,
        )

    def bound(self, messages: list[Message]) -> int:
        """Return the most nano-units that a call may cost."""
        return _bound(self._model, messages)

    async def ask(self, id: str, messages: list[Message]) -> Reply:
        """Make a call."""
        routed = Routed(
            id=id,
            decision_id=id,
            model=self._model.name,
            max_tokens=TOKENS,
            reserved=self.bound(messages),
            policy="judge",
            source=Source("judge", 0, 0),
            payload={"messages": messages, "temperature": 0},
        )
        for _ in range(ASKS):
            try:
                result = await self._backend.answer(routed)
                break
            except BackendUnavailable as error:
                reason = error.reason
                await asyncio.sleep(WAIT if error.retry_after is None else error.retry_after)
        else:
            return Reply(None, 0, reason)
        return _reply(of_result(result, ModelCatalog([self._model])), routed.reserved)

    async def close(self) -> None:
        """Close the connections."""
        await self._backend.close()


def _reply(ending: Ending, bound: int) -> Reply:
    if isinstance(ending, QueryError):
        return Reply(None, ending.cost, ending.reason)
    return Reply(ending.text, bound if ending.cost is None else ending.cost)


def _bound(model: Model, messages: list[Message]) -> int:
    """A token is a byte at least."""
    size = sum(len(str(message["content"]).encode()) for message in messages)
    return model.cost(size + OVERHEAD, TOKENS)
