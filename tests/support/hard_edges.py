"""Inputs of real traffic that systems of this kind break at, with the right end of each."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.scripted_model import Reply, completion

INPUT, OUTPUT = 150, 600
"""Nano-units a token of the model that is asked."""
IMAGE = 1000
"""Tokens that it reserves for an image; the other model takes none."""


@dataclass(frozen=True)
class Case:
    """A query, how its model answers, and how it must end.

    Attributes:
        name: Letters, digits and _.
        reply: The server's.
        query: Fields of the query beside its id; {NAME} in a text becomes the case's mark.
        end: Of the query.
        charged: Prompt and completion tokens that are charged; "reserved" is the reservation.
        calls: Of the server.
        says: Words of the error.
    """

    name: str
    reply: Reply = field(default_factory=Reply)
    query: dict[str, Any] = field(default_factory=lambda: {"prompt": "Write a poem. {NAME}"})
    end: Literal["answered", "failed", "rejected"] = "answered"
    charged: tuple[int, int] | Literal["reserved"] = (10, 20)
    calls: int = 1
    says: str = ""

    def record(self, model: str) -> bytes:
        """The query as it is sent."""
        named = json.dumps({"max_tokens": 40, **self.query, "allowed_models": [model]})
        fields = json.loads(named.replace("{NAME}", f"#{self.name}#"))
        return json.dumps({"id": self.name, "tenant": self.name, **fields}).encode()


def _usage(name: str, usage: object, charged: Any = "reserved", **more: object) -> Case:
    return Case(f"usage_{name}", Reply(completion(usage, **more)), charged=charged)


def _plain(**usage: object) -> dict[str, object]:
    return {"prompt_tokens": 10, "completion_tokens": 20, **usage}


USAGE = [
    _usage("absent", None),
    Case("usage_null", Reply(completion("X").replace(b'"X"', b"null")), charged="reserved"),
    _usage("empty", {}),
    _usage("list", [10, 20]),
    _usage("zeros", _plain(prompt_tokens=0, completion_tokens=0, total_tokens=0)),
    _usage("zeros_beside_a_text", _plain(completion_tokens=0), content="word " * 500),
    _usage("total_only", {"total_tokens": 5000}),
    _usage("null_field", _plain(completion_tokens=None)),
    _usage("negative", _plain(completion_tokens=-20)),
    _usage("of_four_billion", _plain(completion_tokens=2**32 - 1)),
    _usage("beyond_every_charge", _plain(completion_tokens=10**17)),
    _usage("beyond_64_bits", _plain(completion_tokens=10**30)),
    _usage("words", _plain(completion_tokens="twenty")),
    _usage("prompt_and_total", {"prompt_tokens": 10, "total_tokens": 30}, (10, 20)),
    _usage("floats", _plain(prompt_tokens=10.0, completion_tokens=19.5), (10, 20)),
    _usage("digits", _plain(prompt_tokens="10", completion_tokens="20"), (10, 20)),
    _usage("null_details", _plain(prompt_tokens_details=None), (10, 20)),
    _usage("anthropic", {"input_tokens": 10, "output_tokens": 20}, (10, 20)),
    _usage("unreadable_details", _plain(prompt_tokens_details={"cached_tokens": "n/a"}), (10, 20)),
    _usage(
        "bedrock",
        {"inputTokens": 4, "outputTokens": 20, "totalTokens": 30, "cacheReadInputTokenCount": 6},
        (10, 20),
    ),
    Case(
        "usage_zeros_beside_reasoning",
        Reply(
            completion(_plain(completion_tokens=0), "X").replace(
                b'"X"', b'"", "reasoning": "' + b"word " * 500 + b'"'
            )
        ),
        charged="reserved",
    ),
    _usage("ollama", None, (10, 20), prompt_eval_count=10, eval_count=20),
    _usage(
        "gemini",
        None,
        (10, 20),
        usageMetadata={
            "promptTokenCount": 10,
            "candidatesTokenCount": 15,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 30,
        },
    ),
    Case(
        "usage_too_few_for_the_question",
        Reply(completion(_plain(prompt_tokens=1))),
        {"prompt": "All work and no play. " * 100 + "{NAME}"},
        charged="reserved",
    ),
    Case(
        "usage_of_each_choice",
        Reply(
            b'{"choices": '
            + json.dumps(
                [
                    {
                        "message": {"content": "a"},
                        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
                    }
                ]
                * 2
            ).encode()
            + b"}"
        ),
        charged="reserved",
    ),
    _usage("over_the_reservation", _plain(prompt_tokens=900, completion_tokens=40), (900, 40)),
]
"""What servers say of the tokens that they used."""

_GOOD = completion(_plain())
_LATE = b"<html>late</html>"

ANSWERS = [
    Case("byte_order_mark", Reply(codecs.BOM_UTF8 + _GOOD)),
    Case("utf_16", Reply(codecs.BOM_UTF16_LE + _GOOD.decode().encode("utf-16-le"))),
    Case("half_surrogate", Reply(_GOOD.replace(b'"ok"', b'"ok \\ud83d"'))),
    Case("infinite_logprob", Reply(_GOOD.replace(b'"index": 0', b'"logprobs": [-Infinity, NaN]'))),
    Case("huge_number", Reply(_GOOD.replace(b'"index": 0', b'"index": 1' + b"0" * 5000))),
    Case(
        "error_for_choices",
        Reply(b'{"choices": [], "error": {"message": "no", "code": 400}}'),
        end="failed",
        charged=(0, 0),
    ),
    Case(
        "error_in_the_choices",
        Reply(b'{"choices": [{"message": {"content": ""}, "error": {"code": 400}}]}'),
        end="failed",
        charged=(0, 0),
    ),
    Case("html", Reply(b"<html></html>"), end="failed", charged="reserved"),
    Case("bad_request", Reply(b'{"error": {"message": "no"}}', 400), end="failed", charged=(0, 0)),
    *(
        Case(f"gateway_{status}", Reply(_LATE, status), end="failed", charged="reserved")
        for status in (502, 504, 520, 524)
    ),
    Case(
        "refusal_cut_off",
        Reply(b'{"error": {"message": "no"}}', 400, cut=9),
        end="failed",
        charged=(0, 0),
    ),
    Case("cut_off", Reply(_GOOD, cut=30), end="failed", charged="reserved"),
    Case("refused_five_times", Reply(_LATE, 500), end="failed", charged=(0, 0), calls=5),
]
"""What servers answer."""


def _chat(*messages: object, **fields: object) -> dict[str, Any]:
    return {"payload": {"messages": list(messages), **fields}}


def _user(content: object = "Hello. {NAME}") -> dict[str, object]:
    return {"role": "user", "content": content}


def _dear(name: str, **fields: object) -> Case:
    return Case(
        f"dear_{name}",
        query=_chat(_user(), **fields),
        end="rejected",
        charged=(0, 0),
        calls=0,
        says="allow_fields",
    )


_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.invalid/{NAME}.jpg"}}
_TOOL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_MEASURED = Reply(
    completion({"prompt_tokens": 10, "completion_tokens": "X"}).replace(b'"X"', b"{MAX}")
)
_LONG = Reply(completion(_plain(prompt_tokens=30_000)))

QUERIES = [
    Case(
        "newer_token_name",
        _MEASURED,
        _chat(_user(), max_completion_tokens=25) | {"max_tokens": None},
        charged=(10, 25),
    ),
    Case(
        "both_token_names",
        _MEASURED,
        _chat(_user(), max_completion_tokens=25, max_tokens=30) | {"max_tokens": None},
        charged=(10, 25),
    ),
    _dear("tier", service_tier="priority"),
    _dear("other_models", models=["another"]),
    _dear("fallbacks", fallbacks=[{"model": "another"}]),
    _dear("search", web_search_options={}),
    _dear("best_of", best_of=4),
    _dear("num_predict", num_predict=60_000),
    _dear("server_tool", tools=[{"type": "web_search"}]),
    _dear("server_tool_by_name", tools=[{"googleSearch": {}}]),
    _dear("tool_in_the_cache", tools=[{"function": {"name": "f"}, "cache_control": {}}]),
    _dear("unheard_of", some_new_field=1),
    Case(
        "dear_video_without_a_type",
        query=_chat(_user([{"video_url": {"url": "https://example.invalid/{NAME}.mp4"}}])),
        end="rejected",
        charged=(0, 0),
        calls=0,
        says="content.video_url",
    ),
    Case("free_tier", query=_chat(_user(), service_tier="default", temperature=0, user="u")),
    Case(
        "unknown_at_the_top",
        query={"prompt": "Hello. {NAME}", "max_token": 5},
        end="rejected",
        charged=(0, 0),
        calls=0,
        says="max_token",
    ),
    Case(
        "long_english",
        _LONG,
        {"prompt": "All work and no play. " * 6500 + "{NAME}"},
        charged=(30_000, 20),
    ),
    Case("long_chinese", _LONG, {"prompt": "你好世界" * 9000 + "{NAME}"}, charged=(30_000, 20)),
    Case(
        "refusal_before",
        query=_chat(_user("Hi"), {"role": "assistant", "content": None, "refusal": "no"}, _user()),
    ),
    Case(
        "tool_calls_before",
        query=_chat(
            _user("Hi"),
            {"role": "assistant", "content": None, "tool_calls": [_TOOL]},
            {"role": "tool", "tool_call_id": "c", "content": "4"},
            _user(),
        ),
    ),
    Case(
        "null_text_in_a_part",
        query=_chat(_user([{**_IMAGE, "text": None}, {"type": "text", "text": "Hi. {NAME}"}])),
        charged=(10, 20),
    ),
    Case("three_choices", query=_chat(_user(), n=3), charged=(10, 20)),
    Case("image_only", query=_chat(_user([_IMAGE]))),
    Case("image_without_a_type", query=_chat(_user([{"image_url": _IMAGE["image_url"]}]))),
    Case("null_image", query=_chat(_user([{"type": "text", "text": "{NAME}", "image_url": None}]))),
    Case("empty_text", query=_chat(_user(""), user="{NAME}")),
    Case(
        "nothing_from_a_function",
        query=_chat(_user(), {"role": "function", "name": "f", "content": None}),
    ),
]
"""What clients send."""

CASES = [*USAGE, *ANSWERS, *QUERIES]
