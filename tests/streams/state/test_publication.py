"""What must hold of publication: who waits is woken by the record's own messages."""

from __future__ import annotations

import asyncio

from streams.state.publication import Publication
from streams.state.rows import Log, Position


def loaded(decided: int, published: int) -> tuple[dict[Log, Position], Publication]:
    positions: dict[Log, Position] = {
        "queries": Position(decided, published),
        "deferred": Position(),
    }
    return positions, Publication(positions)


async def test_what_was_decided_before_is_not_waited_for() -> None:
    """Its messages may be missing: that is what the answer says."""
    _, publication = loaded(decided=5, published=3)
    assert await publication.wait("queries", 3)
    assert not await publication.wait("queries", 4)


async def test_what_is_decided_here_is_waited_for() -> None:
    """Through earlier publications, and those of the other log."""
    positions, publication = loaded(decided=5, published=5)
    positions["queries"].decided = 8
    waiting = asyncio.create_task(publication.wait("queries", 8))
    for log, offset in (("deferred", 9), ("queries", 7)):
        publication.mark("deferred" if log == "deferred" else "queries", offset)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    publication.mark("queries", 8)
    assert await waiting


async def test_all_that_is_decided_here_is_waited_for() -> None:
    """Of both logs; what was decided before is not."""
    positions, publication = loaded(decided=5, published=3)
    await publication.complete()
    positions["deferred"].decided = 1
    waiting = asyncio.create_task(publication.complete())
    await asyncio.sleep(0)
    assert not waiting.done()
    publication.mark("deferred", 1)
    await waiting
    assert publication.unwritten


async def test_publication_never_falls_back() -> None:
    """Whatever is published again."""
    positions, publication = loaded(decided=5, published=5)
    publication.mark("queries", 2)
    assert positions["queries"].published == 5
    assert not publication.unwritten
