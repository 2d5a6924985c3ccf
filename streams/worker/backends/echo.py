"""A backend that calls nobody: it repeats the query's own words. For a first run without a key."""

from __future__ import annotations

from schemas.query import text_of
from schemas.result import Result, Usage
from schemas.route import Routed
from streams.worker.backends.base import INVALID_REQUEST, Backend, failed, succeeded


class Echo(Backend):
    """Answers with the words of the query, as many as `max_tokens` allows.

    A word counts as one token, in the prompt as in the answer, so that the usage is exact and
    what is charged follows from the model's configured prices. The response has the form of an
    OpenAI chat completion.
    """

    async def answer(self, routed: Routed) -> Result:
        """Repeat the query. One whose payload holds no messages gets a 400 that costs nothing."""
        try:
            words = text_of(routed.payload, routed.prompt).split()
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"the payload has no messages to repeat: {error!r}"
            return failed(routed, 400, INVALID_REQUEST, reason)
        said = words[: routed.max_tokens]
        usage = Usage(prompt_tokens=max(len(words), 1), completion_tokens=len(said))
        return succeeded(
            routed,
            usage=usage,
            response=_completion(routed, " ".join(said), cut=len(said) < len(words), usage=usage),
        )


def _completion(routed: Routed, text: str, cut: bool, usage: Usage) -> dict[str, object]:
    """The answer as a chat completion."""
    return {
        "object": "chat.completion",
        "model": routed.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "length" if cut else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }
