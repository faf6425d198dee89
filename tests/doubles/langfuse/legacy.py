"""The API of before version 4: `POST /api/public/ingestion`, and traces and observations to read.

LiteLLM with the Langfuse SDK 2 speaks only this; the SDK 4 still sends its scores here. A server of version 4 in its
default write mode takes scores and logs alone, and has none of the reading routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from doubles.langfuse.observation import moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALWAYS_TAKEN = frozenset({"score-create", "sdk-log"})
_OBSERVED = {"generation": "GENERATION", "span": "SPAN", "event": "EVENT", "observation": ""}
_DOCS = "https://langfuse.com/self-hosting/upgrade/upgrade-guides/upgrade-v3-to-v4"
_TOKENS = {"promptTokens": "input", "completionTokens": "output", "totalTokens": "total"}


def refused(event: Mapping[str, Any]) -> dict[str, Any]:
    """What `events_only` says about a trace or observation event."""
    problem = f'Event type "{event.get("type", "unknown")}" is not accepted in write mode events_only. Docs: {_DOCS}'
    return {"id": event.get("id", "unknown"), "status": 400, "message": "Event type not accepted", "error": problem}


def fault(event: Any) -> str:
    """Why an event is refused; empty when it is taken."""
    if not isinstance(event, dict) or not isinstance(event.get("body"), dict):
        return "body: expected an object"
    if not event.get("id") or not event.get("timestamp"):
        return "id, timestamp: required"
    kind, _, verb = str(event.get("type")).rpartition("-")
    known = event["type"] in {*ALWAYS_TAKEN, "trace-create"} or (kind in _OBSERVED and verb in {"create", "update"})
    return "" if known else f"type: unknown event type {event['type']!r}"


def observed(event: Mapping[str, Any], project_id: str) -> dict[str, Any]:
    """The fields of an observation that an event sets, in the names that version 4 shows."""
    body = event["body"]
    kind = _OBSERVED[str(event["type"]).rpartition("-")[0]] or str(body.get("type", "SPAN")).upper()
    usage = body.get("usageDetails") or {
        _TOKENS.get(name, name): value
        for name, value in (body.get("usage") or {}).items()
        if isinstance(value, int) and not name.endswith("Cost")
    }
    cost = body.get("costDetails") or {}
    total = (body.get("usage") or {}).get("totalCost", cost.get("total"))
    direct = ("name", "startTime", "endTime", "input", "output", "metadata", "model", "modelParameters", "level")
    fields = {name: body[name] for name in (*direct, "statusMessage", "version") if body.get(name) is not None}
    counted = {"usageDetails": usage} if usage else {}
    priced = {"costDetails": cost or {"total": total}, "totalCost": total} if total is not None else {}
    # What an event leaves out is filled in by `Store.merge`.
    return {
        "id": body["id"],
        "traceId": body.get("traceId") or body["id"],
        "projectId": project_id,
        "type": kind,
        "parentObservationId": body.get("parentObservationId"),
        **fields,
        **counted,
        **priced,
    }


def traces(observations: Iterable[Mapping[str, Any]], created: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The traces, newest first: what trace events said, completed from the observations."""
    grouped: dict[str, list[Mapping[str, Any]]] = {trace: [] for trace in created}
    for item in observations:
        grouped.setdefault(item["traceId"], []).append(item)
    made = [_trace(trace, items, created.get(trace, {})) for trace, items in grouped.items()]
    return sorted(made, key=lambda trace: trace["timestamp"], reverse=True)


def _trace(trace_id: str, items: list[Mapping[str, Any]], sent: Mapping[str, Any]) -> dict[str, Any]:
    items = sorted(items, key=lambda item: item["startTime"])
    root = next((item for item in items if not item["parentObservationId"]), {})

    def first(name: str, own: str = "") -> Any:
        return sent.get(name) or next((item[own or name] for item in items if item[own or name]), None)

    return {
        "id": trace_id,
        "projectId": items[0]["projectId"] if items else sent["projectId"],
        "timestamp": sent.get("timestamp") or (items[0]["startTime"] if items else moment(0)),
        "name": first("name", "traceName"),
        "userId": first("userId"),
        "sessionId": first("sessionId"),
        "release": first("release"),
        "version": first("version"),
        "environment": first("environment") or "default",
        "tags": first("tags") or [],
        "public": bool(sent.get("public")),
        "metadata": sent.get("metadata") or {},
        "input": sent.get("input", root.get("input")),
        "output": sent.get("output", root.get("output")),
        "observations": [item["id"] for item in items],
        "scores": [],
        "totalCost": sum(item["totalCost"] or 0 for item in items),
        "latency": max((item["latency"] or 0 for item in items), default=0),
        "htmlPath": f"/project/{items[0]['projectId'] if items else sent['projectId']}/traces/{trace_id}",
    }


def listing(found: list[dict[str, Any]], query: str) -> dict[str, Any]:
    """One page of traces or observations."""
    one = {name: values[-1] for name, values in parse_qs(query).items()}
    equal = ("userId", "sessionId", "name", "type", "traceId")
    kept = [item for item in found if all(name not in one or item.get(name) == one[name] for name in equal)]
    page, limit = int(one.get("page", 1)), int(one.get("limit", 50))
    meta = {"page": page, "limit": limit, "totalItems": len(kept), "totalPages": -(-len(kept) // limit)}
    return {"data": kept[(page - 1) * limit : page * limit], "meta": meta}
