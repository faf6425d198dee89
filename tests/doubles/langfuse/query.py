"""`GET /api/public/v2/observations`: filters, field groups, pages."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from doubles.langfuse.observation import LEVELS, TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_GROUPS: dict[str, tuple[str, ...]] = {
    "core": ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
    "basic": (
        *("name", "level", "statusMessage", "version", "environment", "bookmarked", "public"),
        *("userId", "sessionId", "isRootObservation"),
    ),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": ("model", "internalModelId", "modelParameters"),
    "usage": ("usageDetails", "costDetails", "totalCost", "usagePricingTierName"),
    "prompt": ("promptId", "promptName", "promptVersion"),
    "metrics": ("latency", "timeToFirstToken"),
    "trace_context": ("tags", "release", "traceName"),
}
_EQUAL = ("type", "name", "userId", "sessionId", "level", "traceId", "version")
_SHORT = 200  # characters of a metadata value that nobody asked to expand


class InvalidError(Exception):
    """A query that the server answers with 400; the text says which parameter and why."""


class UnknownError(Exception):
    """A query that the real server understands and this double does not."""


def page(observations: Iterable[Mapping[str, Any]], query: str) -> dict[str, Any]:
    """The answer's body.

    Raises:
        InvalidError: as the server refuses it.
        UnknownError: `filter` expressions.
    """
    asked = parse_qs(query, keep_blank_values=True)
    one = {name: values[-1] for name, values in asked.items()}
    if "filter" in one:
        raise UnknownError("The double does not read filter expressions.")
    _validate(one)
    limit = int(one.get("limit", 50))
    found = [item for item in observations if _matches(item, one, asked.get("environment", []))]
    found.sort(key=_position, reverse=True)
    if "cursor" in one:
        after = _decoded(one["cursor"])
        found = [item for item in found if _position(item) < after]
    shown, rest = found[:limit], found[limit:]
    meta = {"cursor": _cursor(shown[-1])} if rest and shown else {}
    expanded = one.get("expandMetadata", "").split(",")
    return {"data": [_selected(item, one.get("fields"), expanded) for item in shown], "meta": meta}


def _validate(one: Mapping[str, str]) -> None:
    limit = one.get("limit", "50")
    if not limit.isdigit() or int(limit) > 1000:
        raise InvalidError("limit: a number from 0 to 1000")
    if one.get("parseIoAsJson") not in (None, "false"):
        raise InvalidError("parseIoAsJson: no longer supported")
    if one.get("type") not in (None, *TYPES) or one.get("level") not in (None, *LEVELS):
        raise InvalidError("type, level: one of the known names")
    if one.get("isRootObservation") not in (None, "true", "false"):
        raise InvalidError("isRootObservation: true or false")


def _matches(item: Mapping[str, Any], one: Mapping[str, str], environments: list[str]) -> bool:
    if any(name in one and item[name] != one[name] for name in _EQUAL):
        return False
    if environments and item["environment"] not in environments:
        return False
    if "parentObservationId" in one and (item["parentObservationId"] or "") != one["parentObservationId"]:
        return False
    if "isRootObservation" in one and item["isRootObservation"] != (one["isRootObservation"] == "true"):
        return False
    start = item["startTime"]
    return _comparable(one.get("fromStartTime"), "") <= start < _comparable(one.get("toStartTime"), "9999")


def _comparable(time: str | None, default: str) -> str:
    """A time in the stored form (UTC, milliseconds, Z), so that it compares as text."""
    if not time:
        return default
    try:
        given = datetime.fromisoformat(time.replace(" ", "+"))
    except ValueError as error:
        raise InvalidError("fromStartTime, toStartTime: a time as ISO 8601") from error
    given = given if given.tzinfo else given.replace(tzinfo=UTC)
    return given.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _position(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["startTime"], item["traceId"], item["id"]


def _cursor(item: Mapping[str, Any]) -> str:
    names = ("lastStartTimeTo", "lastTraceId", "lastId")
    return base64.b64encode(json.dumps(dict(zip(names, _position(item), strict=True))).encode()).decode()


def _decoded(cursor: str) -> tuple[str, str, str]:
    try:
        value = json.loads(base64.b64decode(cursor))
        return value["lastStartTimeTo"], value["lastTraceId"], value["lastId"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidError("Invalid cursor format") from error


def _selected(item: Mapping[str, Any], fields: str | None, expanded: list[str]) -> dict[str, Any]:
    asked = [name.strip() for name in fields.split(",")] if fields else ["core", "basic"]
    groups = ["core", *(name for name in asked if name in _GROUPS)]
    shown = {name: item[name] for group in dict.fromkeys(groups) for name in _GROUPS[group]}
    if "metadata" in shown:
        shown["metadata"] = {
            name: value if name in expanded else _shortened(value) for name, value in item["metadata"].items()
        }
    prices = dict.fromkeys(("modelId", "inputPrice", "outputPrice", "totalPrice"))
    return {**shown, **prices}


def _shortened(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:_SHORT] if len(text) > _SHORT else value
