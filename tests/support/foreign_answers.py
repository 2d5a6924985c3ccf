"""Answers in the forms of other servers than OpenAI's."""

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
"""Answers that say "hello, world"."""

ASKED = {"city": "Rome"}
CALLS: dict[str, Any] = {
    "OpenAI responses": {
        "output": [
            {"type": "reasoning", "content": []},
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "weather",
                "arguments": '{"city":"Rome"}',
            },
        ]
    },
    "Ollama": {
        "message": {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "weather", "arguments": ASKED}}],
        }
    },
    "Anthropic": {
        "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": ASKED}],
        "stop_reason": "tool_use",
    },
    "Gemini": {
        "candidates": [
            {"content": {"parts": [{"functionCall": {"name": "weather", "args": ASKED}}]}}
        ]
    },
    "Cohere": {
        "message": {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Rome"}'},
                }
            ],
        }
    },
    "Cohere v1": {"text": "", "tool_calls": [{"name": "weather", "parameters": ASKED}]},
    "Bedrock": {
        "output": {
            "message": {
                "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": ASKED}}]
            }
        }
    },
}
"""Answers that call the tool `weather` for Rome."""
