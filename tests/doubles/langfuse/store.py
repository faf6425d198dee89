"""What a server remembers, and from when on it can be read."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from doubles.langfuse.observation import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

# What an observation of the old API has where its events said nothing.
_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("endTime", "parentObservationId", "name", "statusMessage", "version", "userId", "sessionId")),
    **dict.fromkeys(("completionStartTime", "input", "output", "model", "internalModelId", "modelParameters")),
    **dict.fromkeys(("usagePricingTierName", "promptId", "promptName", "promptVersion", "latency")),
    **dict.fromkeys(("timeToFirstToken", "release", "traceName")),
    "level": "DEFAULT",
    "environment": "default",
    "bookmarked": False,
    "public": False,
    "metadata": {},
    "usageDetails": {},
    "costDetails": {},
    "totalCost": 0,
    "tags": [],
}


class Store:
    """Observations, traces and scores of all projects, behind a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._observations: dict[tuple[str, str, str], tuple[float, dict[str, Any]]] = {}
        self._traces: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}
        self._scores: list[tuple[float, str, dict[str, Any]]] = []

    def merge(self, fields: Mapping[str, Any], delay: float) -> None:
        """Keep an observation; one that is known takes over what the new one says."""
        key = (fields["projectId"], fields["traceId"], fields["id"])
        now = moment(time.time())
        with self._lock:
            _, known = self._observations.get(key, (0, {"startTime": now, "createdAt": now, **_DEFAULTS}))
            merged = {**known, **fields, "updatedAt": now}
            merged.setdefault("isRootObservation", not merged["parentObservationId"])
            self._observations[key] = (time.monotonic() + delay, merged)

    def trace(self, project_id: str, body: Mapping[str, Any], delay: float) -> None:
        with self._lock:
            _, known = self._traces.get((project_id, body["id"]), (0, {}))
            sent = {name: value for name, value in body.items() if value is not None}
            self._traces[project_id, body["id"]] = (
                time.monotonic() + delay,
                {**known, **sent, "projectId": project_id},
            )

    def score(self, project_id: str, body: Mapping[str, Any], delay: float) -> None:
        with self._lock:
            self._scores.append((time.monotonic() + delay, project_id, dict(body)))

    def observations(self, project_id: str) -> list[dict[str, Any]]:
        """What can be read by now, in the order of arrival."""
        now = time.monotonic()
        with self._lock:
            kept = list(self._observations.items())
        return [fields for (project, _, _), (when, fields) in kept if project == project_id and when <= now]

    def traces(self, project_id: str) -> dict[str, dict[str, Any]]:
        """What trace events said, by trace."""
        now = time.monotonic()
        with self._lock:
            kept = list(self._traces.items())
        return {trace: sent for (project, trace), (when, sent) in kept if project == project_id and when <= now}

    def scores(self, project_id: str) -> list[dict[str, Any]]:
        now = time.monotonic()
        with self._lock:
            return [body for when, project, body in self._scores if project == project_id and when <= now]
