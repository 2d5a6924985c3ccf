"""What a query holds, as far as its price and its length depend on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

from schemas.payload_fields import priced_fields

IMAGE_PARTS = frozenset({"image_url", "input_image", "image"})
AUDIO_PARTS = frozenset({"input_audio", "audio_url", "audio"})
MEDIA_PARTS = IMAGE_PARTS | AUDIO_PARTS
TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", None})
OTHER_PARTS = frozenset(
    {
        "audio_embeds",
        "document",
        "file",
        "file_data",
        "file_id",
        "file_url",
        "image_embeds",
        "input_file",
        "input_video",
        "video",
        "video_url",
    }
)
"""Fields of parts that may cost more than their bytes, other than images and audio."""
_DEAR_PARTS = MEDIA_PARTS | OTHER_PARTS
PART = 64
"""Bytes that a part without text counts for, beside what is reserved for its image or audio."""
TOOL_TEMPLATE = 512
"""Prompt tokens that servers may add to say how tools are called."""

_LETTERS = bytes(range(ord("A"), ord("Z") + 1)) + bytes(range(ord("a"), ord("z") + 1)) + b" "
_ASCII = bytes(range(128))
LETTERS_A_TOKEN = 3
"""Tokenizers in use need a token for 4 to 5 letters of prose."""
BYTES_A_TOKEN = 2
"""Beyond ASCII; a Chinese character has 3 bytes and is one token, in older vocabularies two."""


TextKind = Literal["prose", "code", "signs", "scripts"]
"""Kinds of text of which a token has different numbers of bytes."""
TEXT_KINDS: tuple[TextKind, ...] = get_args(TextKind)


class Content(NamedTuple):
    """What a query holds.

    Attributes:
        size: Bytes of its text as UTF-8, with names and punctuation but without the escapes of
            JSON, images and audio. No byte-level tokenizer makes more tokens of it.
        tokens: Tokens that it probably has at most, images and audio aside.
        images: Number of images, whether by address or by value.
        audio: Number of audio parts.
        choices: Answers that are asked for (`n`).
        dear: Fields and kinds of parts that may change the price, in order of their names.
        kind: What most of the text is.
    """

    size: int
    tokens: int
    images: int = 0
    audio: int = 0
    choices: int = 1
    dear: tuple[str, ...] = ()
    kind: TextKind = "prose"


def content_of(payload: dict[str, Any] | None, prompt: str | None) -> Content:
    """Return what a checked payload, or a prompt, holds."""
    if payload is None:
        text = (prompt or "").encode()
        signs = _signs(text)
        return Content(len(text), signs.likely_tokens(), kind=signs.kind())
    counted = _Counted(images=[], audio=[], dear=set(priced_fields(payload)))
    bare = {name: value for name, value in payload.items() if name != "messages"}
    bare["messages"] = [_bare_message(message, counted) for message in payload["messages"]]
    size, chunks = _size(bare)
    if payload.get("tools") or payload.get("functions"):
        size += TOOL_TEMPLATE
    signs = _signs(b"".join(chunks))
    return Content(
        size=size + PART * (len(counted.images) + len(counted.audio)),
        tokens=signs.likely_tokens() + (size - sum(map(len, chunks))) // BYTES_A_TOKEN,
        images=len(counted.images),
        audio=len(counted.audio),
        choices=payload.get("n") or 1,
        dear=tuple(sorted(counted.dear)),
        kind=signs.kind(),
    )


def likely_tokens(text: bytes) -> int:
    """Return how many tokens a text has at most by the habits of tokenizers, if not certainly.

    Letters and blanks come several to a token, digits and signs alone.
    """
    return _signs(text).likely_tokens()


class _Signs(NamedTuple):
    """Bytes of a text: of letters and blanks, beyond ASCII, and of digits and signs."""

    letters: int
    beyond: int
    alone: int

    def likely_tokens(self) -> int:
        """Return the tokens, by the habits of tokenizers."""
        words = -(-self.letters // LETTERS_A_TOKEN) + -(-self.beyond // BYTES_A_TOKEN)
        return words + self.alone

    def kind(self) -> TextKind:
        """Return what most of the text is. Every sixth character of code is a sign, at least."""
        size = sum(self)
        if self.beyond * 4 > size:
            return "scripts"
        if self.alone * 2 > size:
            return "signs"
        return "code" if self.alone * 6 > size else "prose"


def _signs(text: bytes) -> _Signs:
    letters = len(text) - len(text.translate(None, _LETTERS))
    beyond = len(text.translate(None, _ASCII))
    return _Signs(letters, beyond, len(text) - letters - beyond)


class _Counted(NamedTuple):
    images: list[None]
    audio: list[None]
    dear: set[str]


def _bare_message(message: dict[str, Any], counted: _Counted) -> dict[str, Any]:
    """Return a message without images and audio, which are counted."""
    bare = dict(message)
    if isinstance(content := message.get("content"), list):
        bare["content"] = list(_bare_parts(content, counted))
    if isinstance(images := message.get("images"), list):  # as Ollama has them
        counted.images.extend([None] * len(images))
        del bare["images"]
    if bare.get("audio") is not None:  # an answer of before, by its id
        counted.audio.append(None)
    if bare.get("cache_control") is not None:
        counted.dear.add("messages.cache_control")
    return bare


def part_kinds(part: Mapping[str, Any]) -> list[str]:
    """Return what a part holds beside text: its type, or where that says text the names of fields.

    Servers that go by the fields of a part without a type find images there, too. A field that is
    null counts as left out.
    """
    kind = part.get("type")
    if kind not in TEXT_PARTS:
        return [str(kind)]
    given = [name for name, value in part.items() if value is not None]
    if kind is None and not {"text", "refusal"} & set(given):
        return [name for name in given if name != "cache_control"]
    return [name for name in given if name in _DEAR_PARTS]


def _bare_parts(parts: Iterable[dict[str, Any]], counted: _Counted) -> Iterator[Any]:
    for part in parts:
        if part.get("cache_control") is not None:
            counted.dear.add("messages.cache_control")
        kinds = part_kinds(part)
        others = [kind for kind in kinds if kind not in MEDIA_PARTS]
        counted.dear.update(f"content.{kind}" for kind in others)
        if not IMAGE_PARTS.isdisjoint(kinds):
            counted.images.extend([None] * _images_in(part))
        if not AUDIO_PARTS.isdisjoint(kinds):
            counted.audio.append(None)
        if others or not kinds:
            yield part
        elif part.get("text"):
            yield part["text"]


def _images_in(part: Mapping[str, Any]) -> int:
    """The images of a part: some servers take a list of addresses."""
    found = [part[name] for name in IMAGE_PARTS if isinstance(part.get(name), list)]
    return max([1, *map(len, found)])


def _size(value: object) -> tuple[int, list[bytes]]:
    """Return the bytes of a JSON value without escapes, and its texts."""
    size, chunks, left = 0, [], [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            chunks.append(one.encode())
            size += len(chunks[-1]) + 3  # two quotes and a comma
        elif isinstance(one, dict):
            size += 3 + sum(len(name.encode()) + 3 for name in one)
            left.extend(one.values())
        elif isinstance(one, list):
            size += 3
            left.extend(one)
        else:
            size += len(str(one)) + 1
    return size, chunks
