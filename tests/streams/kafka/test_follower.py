"""What must hold of followers: what a topic holds, or its end, comes in order, then what is new."""

from __future__ import annotations

import asyncio

from confluent_kafka import Message, Producer

from streams.brokers import Broker
from streams.kafka.follower import Follower
from tests.support.patience import PATIENCE


async def until(seen: list[bytes], last: bytes) -> None:
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1] != last:
            await asyncio.sleep(0.01)


async def test_what_is_there_comes_before_what_is_new(broker: Broker, prefix: str) -> None:
    """Whole, or from the newest records; fewer than asked for are all there are."""
    topic = f"{prefix}prices"
    broker.create({topic: 1})
    producer = Producer({"bootstrap.servers": broker.servers})

    def send(*values: bytes) -> None:
        for value in values:
            producer.produce(topic, value, b"prices")
        assert producer.flush(30) == 0

    send(*(b"%d" % number for number in range(10)))
    seen: dict[int | None, list[bytes]] = {}
    followers = []
    for newest in (None, 3, 100):
        into = seen[newest] = []

        def handle(message: Message, into: list[bytes] = into) -> None:
            into.append(message.value() or b"")

        followers.append(Follower(broker.servers, topic, handle, newest=newest))
    for follower in followers:
        await asyncio.wait_for(follower.caught_up(), PATIENCE)
    assert seen[3] == [b"7", b"8", b"9"]
    assert seen[None] == seen[100] == [b"%d" % number for number in range(10)]
    send(b"new")
    for newest in seen:
        await until(seen[newest], b"new")
    for follower in followers:
        follower.close()
    assert seen[3] == [b"7", b"8", b"9", b"new"]
