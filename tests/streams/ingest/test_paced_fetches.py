"""Fetches of one broker keep their distance; those that nobody waits for any more give up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock, patch

import pytest
from aiokafka.consumer import consumer
from aiokafka.consumer.fetcher import Fetcher

from streams.ingest import paced_fetches
from streams.ingest.paced_fetches import PACE, PacedFetcher, install


@pytest.fixture
def begun() -> Iterator[list[int]]:
    """The brokers whose fetches have been sent, in order."""
    sent: list[int] = []

    async def fetch(_: Any, assignment: Any, node_id: int, request: Any) -> bool:
        sent.append(node_id)
        return True

    with patch.object(Fetcher, "_proc_fetch_request", fetch):
        yield sent


@pytest.fixture
async def fetcher() -> Any:
    with patch.object(Fetcher, "__init__", lambda *_: None):
        return PacedFetcher(Mock(), Mock())


async def test_the_second_fetch_waits_for_its_turn(fetcher: Any, begun: list[int]) -> None:
    """Of the same broker; another's is sent at once."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    with patch.object(paced_fetches, "asyncio", Mock(wraps=asyncio, sleep=sleep)):
        for node in (1, 2, 1):
            assert await fetcher._proc_fetch_request(None, node, None)
    assert begun == [1, 2, 1]
    assert len(slept) <= 1
    assert all(0 < seconds <= PACE for seconds in slept)


async def test_a_cancelled_wait_is_no_error(fetcher: Any, begun: list[int]) -> None:
    """aiokafka cancels fetches when partitions change hands, and awaits them when it closes."""
    fetcher._next = {1: float("inf")}
    waiting = asyncio.create_task(fetcher._proc_fetch_request(None, 1, None))
    await asyncio.sleep(0)
    waiting.cancel()
    assert not await waiting
    assert begun == []


def test_it_is_what_a_consumer_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that aiokafka looks up when it starts."""
    monkeypatch.setattr(consumer, "Fetcher", Fetcher)
    install()
    assert consumer.Fetcher is PacedFetcher
    assert "Fetcher" in consumer.AIOKafkaConsumer.start.__code__.co_names
