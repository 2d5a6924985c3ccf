"""Which decisions are known to have been published, for those who must wait for that."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.state.rows import Log, Position


class Publication:
    """Follows the positions of a partition that this process has loaded."""

    def __init__(self, positions: Mapping[Log, Position]) -> None:
        """Args:
        positions: By log, as loaded; `mark` moves their `published` forward.
        """
        self._positions = positions
        self._inherited = {log: position.decided for log, position in positions.items()}
        self._moved = asyncio.Event()
        self.unwritten = False
        """Whether something has been published that no commit says to have been."""

    def mark(self, log: Log, offset: int) -> None:
        """Record that everything up to `offset` has been published."""
        position = self._positions[log]
        self.unwritten |= offset > position.published
        position.published = max(position.published, offset)
        self._moved.set()
        self._moved = asyncio.Event()

    async def complete(self) -> None:
        """Wait until everything that this process decided has been published."""
        for log, position in self._positions.items():
            await self.wait(log, position.decided)

    async def wait(self, log: Log, offset: int) -> bool:
        """Wait until a record that this process decided has been published.

        Returns:
            Whether it is known to have been. Only False for a record that was decided before this
            process loaded the partition; that is not waited for.
        """
        position = self._positions[log]
        while offset > max(position.published, self._inherited[log]):
            await self._moved.wait()
        return offset <= position.published
