"""Topic `queries`: a question to be routed."""

from __future__ import annotations

import math
from typing import Annotated, Any

from msgspec import Meta

from schemas.fields import INT64, Id, Name, Nano, UnixTime
from schemas.invalid import Invalid, missing, wrong
from schemas.wire import Message

MAX_TOKENS = 10_000_000
Metadata = dict[str, str | Annotated[int, Meta(ge=-INT64, le=INT64)] | float | bool]
Embedding = Annotated[
    list[Annotated[float, Meta(ge=-1e9, le=1e9)]], Meta(min_length=1, max_length=8192)
]
Payload = Annotated[
    dict[str, Any],
    Meta(
        description="an OpenAI chat-completions body",
        extra_json_schema={
            "required": ["messages"],
            "properties": {
                "messages": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["role"],
                        "properties": {
                            "role": {"type": "string"},
                            "content": {"type": ["string", "array", "null"]},
                        },
                    },
                },
                "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_TOKENS},
                "max_completion_tokens": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": MAX_TOKENS,
                },
            },
        },
    ),
]


class Query(Message, frozen=True, kw_only=True):
    """A query, with what its sender allows. Exactly one of `payload` and `prompt` is given.

    Attributes:
        id: Chosen by the sender; names the query in all that follows.
        payload: An OpenAI chat-completions body.
        prompt: Plain text.
        max_tokens: Output tokens at most.
        deadline: Unix seconds after which an answer is of no use.
        created: Unix seconds at which the sender made the query.
        tenant: On whose behalf the query is sent.
        allowed_models: The only models it may go to; all where left out.
        max_cost: Nano-units that the answer may cost at most.
        embedding: The text's vector, for the `given` embedder.
        metadata: Small values, carried through.
        custom_id: The id in a batch file, carried through.
    """

    id: Id
    payload: Payload | None = None
    prompt: Annotated[str, Meta(min_length=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)] | None = None
    deadline: UnixTime | None = None
    created: UnixTime | None = None
    tenant: Name | None = None
    allowed_models: Annotated[list[Name], Meta(min_length=1, max_length=256)] | None = None
    max_cost: Nano | None = None
    embedding: Embedding | None = None
    metadata: Metadata | None = None
    custom_id: Id | None = None

    def __post_init__(self) -> None:
        check_one_text(self.payload, self.prompt)
        if self.payload is not None:
            _check_messages(self.payload, self.embedding is not None)
            for name in ("max_completion_tokens", "max_tokens"):
                _check_tokens(self.payload.get(name), f"payload.{name}")
        if self.embedding is not None and math.hypot(*self.embedding) < 1e-6:
            rule = "its length as a vector must not be 0"
            raise wrong("embedding", self.embedding, rule, "invalid_embedding")

    def text(self) -> str:
        """The text to embed: the prompt, or the texts of all messages, a line each."""
        return text_of(self.payload, self.prompt)

    @property
    def output_tokens(self) -> int | None:
        """The output tokens allowed by the sender: its own field first, then the payload's."""
        if self.max_tokens is not None or self.payload is None:
            return self.max_tokens
        body = self.payload
        found: int | None = body.get("max_completion_tokens") or body.get("max_tokens")
        return found


def text_of(payload: dict[str, Any] | None, prompt: str | None) -> str:
    """The prompt, or the texts of all messages of a checked payload, a line each."""
    if payload is None:
        return prompt or ""
    texts: list[str] = []
    for message in payload["messages"]:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif content:
            texts += [part["text"] for part in content if "text" in part]
    return "\n".join(texts)


def check_one_text(payload: dict[str, Any] | None, prompt: str | None) -> None:
    """Raise Invalid unless exactly one of the two is given."""
    if payload is None and prompt is None:
        raise missing("prompt", "one of payload and prompt must be given")
    if payload is not None and prompt is not None:
        raise wrong("prompt", prompt, "it must be left out where payload is given")


def _check_messages(payload: dict[str, Any], embedded: bool) -> None:
    messages = payload.get("messages")
    if messages is None:
        raise missing("payload.messages")
    if not isinstance(messages, list):
        raise wrong("payload.messages", messages, "it must be an array of messages")
    if not messages:
        raise wrong("payload.messages", messages, "it must hold at least one message")
    has_text = embedded
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"payload.messages[{i}]", message, "it must be an object")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            raise _absent_or_wrong(message, f"payload.messages[{i}]", "role", "a string")
        if isinstance(content, str):
            has_text = has_text or content != ""
        elif isinstance(content, list):
            has_text = _check_parts(content, f"payload.messages[{i}].content") or has_text
        elif content is not None or not (message.get("tool_calls") or message.get("function_call")):
            raise _absent_or_wrong(
                message, f"payload.messages[{i}]", "content", "a string or an array of parts"
            )
    if not has_text:
        rule = "at least one must hold text to route by, or the query an embedding"
        raise wrong("payload.messages", messages, rule)


def _check_parts(parts: list[Any], path: str) -> bool:
    has_text = False
    for i, part in enumerate(parts):
        if not isinstance(part, dict):
            raise wrong(f"{path}[{i}]", part, "it must be an object")
        if "text" in part:
            if not isinstance(part["text"], str):
                raise wrong(f"{path}[{i}].text", part["text"], "it must be a string")
            has_text = has_text or part["text"] != ""
    return has_text


def _absent_or_wrong(owner: dict[str, Any], path: str, name: str, kind: str) -> Invalid:
    if name not in owner:
        return missing(f"{path}.{name}")
    return wrong(f"{path}.{name}", owner[name], f"it must be {kind}")


def _check_tokens(value: object, field: str) -> None:
    if value is None:
        return
    if type(value) is not int or not 1 <= value <= MAX_TOKENS:
        raise wrong(field, value, f"it must be a whole number from 1 to {MAX_TOKENS}")
