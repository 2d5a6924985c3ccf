"""Fields of a chat-completions body that cannot change what an answer costs, and the others.

A reservation covers tokens at a model's prices. A field that moves the call to other prices
(`service_tier`, `models`), adds paid work (`web_search_options`, `best_of`) or lifts the limit of
tokens under another name (`num_predict`) would break it. So what passes is listed, not what is
refused: a field that a server learns tomorrow is refused until it is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

FREE_FIELDS = frozenset(
    {
        "messages",
        # What the worker sets itself, whatever the body says.
        "max_completion_tokens",
        "max_tokens",
        "model",
        "n",
        "stream",
        "stream_options",
        # Sampling.
        "frequency_penalty",
        "length_penalty",
        "logit_bias",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "stop_token_ids",
        "temperature",
        "top_a",
        "top_k",
        "top_p",
        "typical_p",
        # Form of the answer.
        "function_call",
        "functions",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "include_stop_str_in_output",
        "logprobs",
        "parallel_tool_calls",
        "reasoning_effort",
        "response_format",
        "skip_special_tokens",
        "tool_choice",
        "tools",
        "top_logprobs",
        "verbosity",
        # Bookkeeping.
        "metadata",
        "prompt_cache_key",
        "safety_identifier",
        "store",
        "user",
    }
)
"""Fields that pass. How many tokens they lead to is bounded by the limit of tokens."""

FREE_VALUES: Mapping[str, Collection[Any]] = {
    "best_of": (1,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
}
"""Values with which other fields pass: they say what holds without them."""

FREE_TOOLS = frozenset({"function", "custom"})
"""Types of tools that the sender runs; servers run the others, and charge for it."""

TOOL_FIELDS = FREE_TOOLS | {
    "description",
    "format",
    "functionDeclarations",
    "function_declarations",
    "input_schema",
    "name",
    "parameters",
    "strict",
    "type",
}
"""Fields of a tool that the sender runs."""


def priced_fields(payload: Mapping[str, Any]) -> list[str]:
    """Return the fields of a body that may change what its answer costs.

    Args:
        payload: A chat-completions body.

    Returns:
        Their names, as `allow_fields` of a model lists them; a tool that the server runs counts
        as `tools.` and its type or name. A field that is null counts as left out.
    """
    found = [
        name
        for name, value in payload.items()
        if value is not None and name not in FREE_FIELDS and value not in FREE_VALUES.get(name, ())
    ]
    found += sorted(_priced_tools(payload.get("tools")))
    return found


def _priced_tools(tools: object) -> set[str]:
    """What of a body's tools may change the price, as `allow_fields` lists it.

    A tool that the server runs may stand under its own name, without a type or beside a function,
    as Gemini has them: `{"googleSearch": {}}`.
    """
    if not isinstance(tools, list):
        return {"tools"} if tools else set()
    found: set[str] = set()
    for tool in tools:
        if isinstance(tool, str):
            found.add(f"tools.{tool}")
        if not isinstance(tool, Mapping):
            continue
        kind = str(tool.get("type") or "function")
        if kind not in FREE_TOOLS:
            found.add(f"tools.{kind}")
            continue
        given = {name for name, value in tool.items() if value is not None}
        found |= {f"tools.{name}" for name in given - TOOL_FIELDS}
        function = tool.get("function")
        if isinstance(function, Mapping) and function.get("cache_control") is not None:
            found.add("tools.cache_control")
    return found


def how_to_allow(model: str, fields: Collection[str]) -> str:
    """Return the rule that a body with such fields breaks, and the configuration that lifts it."""
    listed = ", ".join(f'"{name}"' for name in fields)
    return (
        "it may change what the answer costs, and a reservation would not cover that; to let it "
        f"pass set [models.{model}] allow_fields = [{listed}]"
    )
