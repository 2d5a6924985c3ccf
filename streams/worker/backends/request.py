"""The request that is made of a routed query."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.payload_fields import priced_fields
from schemas.route import Routed

TOKEN_FIELDS = ("max_tokens", "max_completion_tokens")
"""The names under which servers know the limit of output tokens."""

_OURS = frozenset({"model", "stream", "stream_options", "n", *TOKEN_FIELDS})
"""Fields of a payload that the worker sets, or that are left out."""


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How a server wants its requests.

    Attributes:
        max_tokens_field: The name under which it knows the limit of output tokens.
        allow_fields: Fields that pass though they may change the price.
        extra_body: Put into every body; wins over the query's fields.
    """

    max_tokens_field: str = "max_tokens"
    allow_fields: Collection[str] = ()
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def refused(self, routed: Routed) -> list[str]:
        """Return the fields of a query that its reservation may not cover, and nothing allows."""
        found = priced_fields(routed.payload or {})
        return [name for name in found if name not in self.allow_fields]

    def body(self, model: str, routed: Routed) -> dict[str, Any]:
        """Return the body for a routed query.

        The limit of output tokens is what was reserved, or less where the query says so; it
        stands there once. Several choices (`n`) are asked for where the router reserves for them,
        as all do that say `start_by`; otherwise one.

        Args:
            model: As the server calls it.
            routed: The query; a prompt becomes one user message.
        """
        given = routed.payload
        if given is None:
            given = {"messages": [{"role": "user", "content": routed.prompt}]}
        limits = [given.get(name) for name in TOKEN_FIELDS]
        allowed = [limit for limit in limits if type(limit) is int and limit > 0]
        body = {name: value for name, value in given.items() if name not in _OURS}
        body |= {name: value for name, value in self.extra_body.items() if name not in _OURS}
        if routed.start_by is not None and type(given.get("n")) is int:
            body["n"] = given["n"]
        body[self.max_tokens_field] = min([routed.max_tokens, *allowed])
        body["model"] = model
        body["stream"] = False
        return body
