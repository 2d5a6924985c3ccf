"""Answers to queries that an interrupted run has sent, read back so that nothing is paid twice."""

from __future__ import annotations

from typing import Any

from streams.client.answers import Answer, Ending

MARGIN = 60.0
"""Seconds that the clocks of this machine and of the broker may differ by."""


class Earlier:
    """The answers to all queries whose ids begin alike.

    A run that gives its queries the same ids whenever it is begun asks here first. What is in
    flight, or waits for money, is sent again under its id: routers decide an id once, and the
    answer to the first comes for the second too.
    """

    def __init__(self, prefix: str, created: float) -> None:
        """Args:
        prefix: Of the ids.
        created: Unix seconds, before the first query was sent.
        """
        self._prefix = prefix.encode()
        self._answers: dict[str, Answer] = {}
        self._since = created - MARGIN

    def settings(self) -> dict[str, Any]:
        """Return what an `AsyncClient` needs so that it reads these answers."""
        return {"kept": self._is_kept, "keep": self._keep, "since": self._since}

    def pop(self, id: str) -> Answer | None:
        """Return the answer to a query, once; None where it has none yet, or has failed."""
        return self._answers.pop(id, None)

    def _is_kept(self, key: bytes) -> bool:
        return key.startswith(self._prefix)

    def _keep(self, id: str, ending: Ending) -> None:
        if isinstance(ending, Answer):
            self._answers.setdefault(id, ending)
