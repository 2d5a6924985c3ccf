"""Spans of calls to models, by OpenTelemetry's conventions for generative AI.

They say nothing of what was asked or answered.
"""

from __future__ import annotations

from typing import Any

from schemas.route import Routed
from streams.tracing.context import current
from streams.tracing.spans import Span, tracer
from streams.worker.backends.completion import Completion
from streams.worker.backends.http_call import Endpoint


def begin_call(model: str, endpoint: Endpoint, routed: Routed, attempt: int) -> Span:
    """Begin the span of one HTTP call, within the work at hand.

    Args:
        model: As the server calls it.
        endpoint: The server.
        routed: The query.
        attempt: 1 for the first call.
    """
    return tracer().start(
        f"chat {model}",
        "client",
        current(),
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",  # any server that speaks its API
            "gen_ai.request.model": model,
            "gen_ai.request.max_tokens": routed.max_tokens,
            "server.address": endpoint.host,
            "server.port": endpoint.port,
            "http.request.resend_count": attempt - 1 or None,
            "sluice.model": routed.model,
            "sluice.decision.id": routed.decision_id,
        },
    )


def describe_call(span: Span, status: int, reason: str, completion: Completion | None) -> None:
    """Note what became of a call.

    Args:
        span: Of the call.
        status: The HTTP status, or the one that stands for a broken connection.
        reason: Why there is no answer; empty where there is one.
        completion: What came, if it was one.
    """
    span.note({"http.response.status_code": status})
    if reason or completion is None:
        span.fail(str(status), reason)
    if completion is None:
        return
    response, usage = completion.response, completion.usage
    span.note(
        {
            "gen_ai.response.id": _text(response.get("id")),
            "gen_ai.response.model": _text(response.get("model")),
            "gen_ai.response.finish_reasons": _finish_reasons(response) or None,
        }
    )
    if usage is not None:
        span.note(
            {
                "gen_ai.usage.input_tokens": usage.prompt_tokens,
                "gen_ai.usage.output_tokens": usage.completion_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            }
        )


def _text(found: Any) -> str | None:
    return found if isinstance(found, str) else None


def _finish_reasons(response: dict[str, Any]) -> list[str]:
    choices = response.get("choices")
    found = choices if isinstance(choices, list) else []
    reasons = (each.get("finish_reason") for each in found if isinstance(each, dict))
    return [reason for reason in reasons if isinstance(reason, str)]
