"""Turns a span into an observation: which attribute becomes which field, first match wins.

The order of the names is that of the OpenTelemetry reader of langfuse/langfuse 4.16.0, limited to what LiteLLM, the
Langfuse SDK and OpenTelemetry's own conventions for generative AI use.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from doubles.langfuse.otlp import Span

_USER = ("langfuse.user.id", "user.id", "langfuse.trace.metadata.langfuse_user_id")
_SESSION = ("langfuse.session.id", "session.id", "gen_ai.conversation.id")
_TAGS = ("langfuse.trace.tags", "langfuse.tags", "tag.tags")
_ENVIRONMENT = ("langfuse.environment", "deployment.environment.name", "deployment.environment")
_MODEL = ("langfuse.observation.model.name", "gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "model")
_INPUT = ("langfuse.observation.input", "input.value", "gen_ai.input.messages", "input")
_OUTPUT = ("langfuse.observation.output", "output.value", "gen_ai.output.messages", "output")
_COST = ("gen_ai.usage.cost", "llm.cost.total")
TYPES = (
    *("SPAN", "GENERATION", "EVENT", "EMBEDDING", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "GUARDRAIL", "EVALUATOR"),
)
_INFERENCE_KINDS = {"LLM": "GENERATION"}
_OPERATIONS = {
    **dict.fromkeys(("chat", "completion", "text_completion", "generate_content", "generate"), "GENERATION"),
    **dict.fromkeys(("invoke_agent", "create_agent"), "AGENT"),
    "embeddings": "EMBEDDING",
    "execute_tool": "TOOL",
}
_COUNTS = {
    "input": ("prompt_tokens", "input_tokens", "prompt"),
    "output": ("completion_tokens", "output_tokens", "completion"),
    "total": ("total_tokens", "total"),
}
LEVELS = ("DEBUG", "DEFAULT", "WARNING", "ERROR")


def observation(span: Span, project_id: str) -> dict[str, Any]:
    """The observation as `GET /api/public/v2/observations` shows it with all field groups."""
    found = span.attributes
    usage, cost = _usage(found), _cost(found)
    level = str(found.get("langfuse.observation.level", "")).upper()
    begun = _text(found, ("langfuse.observation.completion_start_time",))
    root = not span.parent_id or found.get("langfuse.internal.is_app_root") in (True, "true")
    now = moment(datetime.now(UTC).timestamp())
    return {
        "id": span.id,
        "traceId": span.trace_id,
        "startTime": moment(span.start / 1e9),
        "endTime": moment(span.end / 1e9) if span.end else None,
        "projectId": project_id,
        "parentObservationId": span.parent_id or None,
        "type": _type(found),
        "name": span.name,
        "level": level if level in LEVELS else ("ERROR" if span.failed else "DEFAULT"),
        "statusMessage": _text(found, ("langfuse.observation.status_message",)) or span.message or None,
        "version": _text(found, ("langfuse.version",)) or span.resource.get("service.version"),
        "environment": _text(found, _ENVIRONMENT) or _text(span.resource, _ENVIRONMENT) or "default",
        "bookmarked": False,
        "public": found.get("langfuse.trace.public") in (True, "true"),
        "userId": _text(found, _USER),
        "sessionId": _text(found, _SESSION),
        "isRootObservation": root,
        "completionStartTime": json.loads(begun) if begun and begun.startswith('"') else begun,
        "createdAt": now,
        "updatedAt": now,
        "input": _text(found, _INPUT),
        "output": _text(found, _OUTPUT),
        "metadata": _metadata(span),
        "model": _text(found, _MODEL),
        "internalModelId": None,
        "modelParameters": _json(found.get("langfuse.observation.model.parameters")),
        "usageDetails": usage,
        "costDetails": cost,
        "totalCost": cost.get("total", 0),
        "usagePricingTierName": None,
        "promptId": None,
        "promptName": _text(found, ("langfuse.observation.prompt.name",)),
        "promptVersion": found.get("langfuse.observation.prompt.version"),
        "latency": (span.end - span.start) / 1e9 if span.end else None,
        "timeToFirstToken": None,
        "tags": _tags(found),
        "release": _text(found, ("langfuse.release",)) or span.resource.get("langfuse.release"),
        "traceName": _text(found, ("langfuse.trace.name",)),
    }


def moment(seconds: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(found: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        if found.get(name):
            return found[name] if isinstance(found[name], str) else json.dumps(found[name])
    return None


def _type(found: Mapping[str, Any]) -> str:
    named = str(found.get("langfuse.observation.type", "")).upper()
    if named in TYPES:
        return named
    kind = str(found.get("openinference.span.kind", ""))
    if kind in _INFERENCE_KINDS or kind in TYPES:
        return _INFERENCE_KINDS.get(kind, kind)
    operation = _OPERATIONS.get(str(found.get("gen_ai.operation.name", "")))
    # A span that names a model is a generation, whoever made it.
    return operation or ("GENERATION" if _text(found, _MODEL) else "SPAN")


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _numbers(value: Any) -> dict[str, Any]:
    parsed = _json(value)
    return {key: number for key, number in parsed.items() if number is not None} if isinstance(parsed, dict) else {}


def _with_total(numbers: dict[str, Any]) -> dict[str, Any]:
    return numbers if not numbers or "total" in numbers else {**numbers, "total": sum(numbers.values())}


def _usage(found: Mapping[str, Any]) -> dict[str, Any]:
    sent = _numbers(found.get("langfuse.observation.usage_details"))
    if sent:
        return _with_total(sent)
    counted: dict[str, Any] = {}
    for field, names in _COUNTS.items():
        for name in names:
            value = found.get(f"gen_ai.usage.{name}", found.get(f"llm.token_count.{name}"))
            if value is not None:
                counted[field] = int(value)
                break
    return _with_total(counted)


def _cost(found: Mapping[str, Any]) -> dict[str, Any]:
    sent = _numbers(found.get("langfuse.observation.cost_details"))
    total = next((found[name] for name in _COST if found.get(name) not in (None, "")), None)
    return _with_total(sent) if sent or total is None else {"total": float(total)}


def _tags(found: Mapping[str, Any]) -> list[str]:
    value = next((found[name] for name in _TAGS if found.get(name)), None)
    parsed = _json(value) if isinstance(value, str) and value.strip().startswith("[") else value
    if isinstance(parsed, list):
        return [str(tag) for tag in parsed]
    return [tag.strip() for tag in parsed.split(",")] if isinstance(parsed, str) else []


def _metadata(span: Span) -> dict[str, Any]:
    prefixes = ("langfuse.observation.metadata", "langfuse.trace.metadata")
    sent: dict[str, Any] = {}
    for prefix in prefixes:
        whole = _json(span.attributes.get(prefix))
        sent |= whole if isinstance(whole, dict) else {}
        inside = {name: value for name, value in span.attributes.items() if name.startswith(f"{prefix}.")}
        sent |= {name.removeprefix(f"{prefix}."): _json(value) for name, value in inside.items()}
    # Spans that the SDK did not make show what else they carry.
    hidden = (*_INPUT, *_OUTPUT)
    rest = {name: value for name, value in span.attributes.items() if name not in hidden}
    raw = {} if span.scope.startswith("langfuse-sdk") else {"attributes": rest}
    return {**raw, "resourceAttributes": dict(span.resource), "scope": {"name": span.scope}, **sent}
