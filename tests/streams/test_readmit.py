"""A pass over deferred queries: what it asks the broker for, and what it hands on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from streams.readmit import CHUNK, Readmission
from streams.rows import Position


class Log:
    """A partition of `deferred` with `size` records, which gives no more than it is asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.asked: list[int] = []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, self.size

    def assign(self, places: list[Any]) -> None:
        self.at = places[0].offset

    def consume(self, count: int, _: float) -> list[Any]:
        self.asked.append(count)
        start, self.at = self.at, min(self.at + count, self.size)
        return [message(offset) for offset in range(start, self.at)]


def message(offset: int) -> Any:
    return SimpleNamespace(
        error=lambda: None,
        topic=lambda: "deferred",
        partition=lambda: 0,
        offset=lambda: offset,
        timestamp=lambda: (1, 0),
        key=lambda: b"k",
        value=lambda: b"v",
        headers=lambda: None,
    )


class Router:
    """Decides by moving the position only."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    async def prepare(self, _: Any, records: list[Any]) -> list[int]:
        return [record.offset for record in records]

    async def finish(self, partition: Any, offsets: list[int]) -> None:
        self.seen += offsets
        partition.positions["deferred"].decided = offsets[-1]


async def test_a_pass_asks_for_no_more_than_there_is() -> None:
    """Asked for more, librdkafka waits a second for it: each record is taken once, chunk by chunk,
    and the last chunk is as small as the rest of the log."""
    log, router = Log(2 * CHUNK + 7), Router()
    partition: Any = SimpleNamespace(
        number=0, owned=True, waiting=0, positions={"deferred": Position(decided=2, published=2)}
    )
    passes = Readmission("127.0.0.1:1", {}, "deferred", router, {0: partition})  # type: ignore[arg-type]
    await passes.close()
    passes._consumer = log  # type: ignore[assignment]
    await passes._pass(partition)
    assert log.asked == [CHUNK, CHUNK, 4]
    assert router.seen == list(range(3, log.size))
