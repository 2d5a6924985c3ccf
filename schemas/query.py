"""Topic `queries`: a question to be routed."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from schemas.content import Content, content_of, part_kinds
from schemas.fields import INT64, Id, Name, Nano, Score, UnixTime
from schemas.invalid import Invalid, missing, wrong
from schemas.wire import Message

MAX_TOKENS = 10_000_000
MAX_CHOICES = 128
TOKEN_FIELDS = ("max_completion_tokens", "max_tokens")
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
        floor: Mean score that answers to queries of this floor are to reach (policy
            `quality-floor`).
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
    floor: Score | None = None
    embedding: Embedding | None = None
    metadata: Metadata | None = None
    custom_id: Id | None = None

    def __post_init__(self) -> None:
        check_one_text(self.payload, self.prompt)
        if self.payload is not None:
            _check_messages(self.payload, self.embedding is not None)
            for name in TOKEN_FIELDS:
                _check_whole(self.payload.get(name), f"payload.{name}", MAX_TOKENS)
            _check_whole(self.payload.get("n"), "payload.n", MAX_CHOICES)
        if self.embedding is not None and math.hypot(*self.embedding) < 1e-6:
            rule = "its length as a vector must not be 0"
            raise wrong("embedding", self.embedding, rule, "invalid_embedding")

    def text(self) -> str:
        """The text to embed: the prompt, or the texts of all messages, a line each."""
        return text_of(self.payload, self.prompt)

    @property
    def output_tokens(self) -> int | None:
        """The output tokens allowed by the sender: its own field, else the payload's least."""
        if self.max_tokens is not None or self.payload is None:
            return self.max_tokens
        return min(
            (found for name in TOKEN_FIELDS if (found := self.payload.get(name)) is not None),
            default=None,
        )

    def content(self) -> Content:
        """Return what it holds, as far as its price and its length depend on it."""
        return content_of(self.payload, self.prompt)


INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
"""Fields of a message, beside one of which its content may be null; that of a function may, too."""


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
            texts += [part["text"] for part in content if part.get("text") is not None]
    return "\n".join(texts)


def unknown_field(data: bytes) -> str | None:
    """Return the first field of a readable query that no query has, or None."""
    names = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return next((name for name in names if name not in Query.__struct_fields__), None)


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
    has_content = embedded
    for i, message in enumerate(messages):
        if not isinstance(message, dict):
            raise wrong(f"payload.messages[{i}]", message, "it must be an object")
        role, content = message.get("role"), message.get("content")
        if not isinstance(role, str):
            raise _absent_or_wrong(message, f"payload.messages[{i}]", "role", "a string")
        if isinstance(content, str):
            has_content = True  # an empty one, too: OpenAI takes it
        elif isinstance(content, list):
            has_content = _check_parts(content, f"payload.messages[{i}].content") or has_content
        elif content is not None or not (
            any(map(message.get, INSTEAD_OF_CONTENT)) or role == "function"
        ):
            raise _absent_or_wrong(
                message, f"payload.messages[{i}]", "content", "a string or an array of parts"
            )
    if not has_content:
        rule = "at least one must hold text, an image or audio, or the query an embedding"
        raise wrong("payload.messages", messages, rule)


def _check_parts(parts: list[Any], path: str) -> bool:
    has_content = False
    for i, part in enumerate(parts):
        if not isinstance(part, dict):
            raise wrong(f"{path}[{i}]", part, "it must be an object")
        text, kind = part.get("text"), part.get("type")
        if text is not None and not isinstance(text, str):
            raise wrong(f"{path}[{i}].text", text, "it must be a string")
        if kind is not None and not isinstance(kind, str):
            raise wrong(f"{path}[{i}].type", kind, "it must be a string")
        has_content = has_content or text is not None or bool(part_kinds(part))
    return has_content


def _absent_or_wrong(owner: dict[str, Any], path: str, name: str, kind: str) -> Invalid:
    if name not in owner:
        return missing(f"{path}.{name}")
    return wrong(f"{path}.{name}", owner[name], f"it must be {kind}")


def _check_whole(value: object, field: str, most: int) -> None:
    if value is None:
        return
    if type(value) is not int or not 1 <= value <= most:
        raise wrong(field, value, f"it must be a whole number from 1 to {most}")
