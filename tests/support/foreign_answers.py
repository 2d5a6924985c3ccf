"""Answers that say "hello, world" in the forms of other servers than OpenAI's."""

from __future__ import annotations

from typing import Any

PARTS = [{"type": "text", "text": "hello, "}, {"type": "text", "text": "world"}]
FOREIGN: dict[str, Any] = {
    "words": "hello, world",
    "OpenAI completions": {"choices": [{"text": "hello, world"}]},
    "OpenAI responses": {
        "output": [
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            {
                "type": "message",
                "content": [
                    {"type": "output_text", "text": "hello, "},
                    {"type": "output_text", "text": "world"},
                ],
            },
        ],
    },
    "Ollama chat": {
        "message": {"role": "assistant", "content": "hello, world", "thinking": "hm"},
        "done_reason": "stop",
    },
    "Ollama generate": {"response": "hello, world", "done": True, "context": [1, 2]},
    "Anthropic": {
        "id": "msg_1",
        "type": "message",
        "content": [{"type": "thinking", "thinking": "hm"}, *PARTS],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    "Gemini": {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "hello, "},
                        {"text": "world"},
                    ]
                },
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    },
    "Cohere": {"id": "c", "message": {"role": "assistant", "content": PARTS}},
    "Cohere v1": {"text": "hello, world", "generation_id": "g"},
    "Bedrock": {"output": {"message": {"content": [{"text": "hello, world"}]}}},
    "Mistral on Bedrock": {"outputs": [{"text": "hello, world", "stop_reason": "stop"}]},
    "llama.cpp": {"content": "hello, world", "stop": True},
    "TGI": {"generated_text": "hello, world"},
    "Llama on Bedrock": {"generation": "hello, world"},
}
