"""The routes of the double."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from doubles.langfuse import legacy
from doubles.langfuse.observation import observation
from doubles.langfuse.otlp import MalformedError, spans
from doubles.langfuse.projects import Project, UnauthorizedError, authenticate
from doubles.langfuse.query import InvalidError, UnknownError, page
from doubles.langfuse.store import Store
from doubles.server import Answer, Double, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

_API = "/api/public/"
_LEGACY_LIMIT = 4_500_000
_OLD_READS = ("traces", "observations", "sessions", "scores", "v2/scores", "metrics/daily")
_NOT_IN_EVENTS_ONLY = "This endpoint is not available on deployments running in Langfuse v4 events_only mode."
_ORGANIZATION = "Invalid API key. Are you using an organization key?"
_MISSING = "<!DOCTYPE html><html><head><title>404: This page could not be found</title></head></html>"


@dataclass
class Langfuse(Double):
    """A Langfuse server.

    Attributes:
        projects: with their keys.
        version: decides, by its major number, which routes there are (2: no OpenTelemetry; 3: no v2 observations).
        write_mode: `events_only`, `dual` or `legacy`; a server before version 4 only knows the last.
        delay: seconds until something accepted can be read.
        max_body: bytes that a proxy in front lets pass; 0: any. The server itself takes exports of any size.
        faults: the status with which a path is answered, instead of its answer.
        broken: everything is answered with 500, as after a first start with a short LANGFUSE_INIT_USER_PASSWORD.
    """

    projects: tuple[Project, ...] = (Project(),)
    version: str = "4.16.0"
    write_mode: str = "events_only"
    delay: float = 0.0
    max_body: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    broken: bool = False
    store: Store = field(default_factory=Store, repr=False)

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def environment(self, project: Project | None = None) -> dict[str, str]:
        """The variables that lead LiteLLM and the SDK here."""
        keys = project or self.projects[0]
        return {
            "LANGFUSE_HOST": self.url,
            "LANGFUSE_PUBLIC_KEY": keys.public_key,
            "LANGFUSE_SECRET_KEY": keys.secret_key,
        }

    def observations(self, project: Project | None = None) -> list[dict[str, Any]]:
        """The observations that can be read by now, in order of arrival, with all fields of the API."""
        return self.store.observations((project or self.projects[0]).id)

    def scores(self, project: Project | None = None) -> list[dict[str, Any]]:
        return self.store.scores((project or self.projects[0]).id)

    def read(self, raw: bytes) -> bytes:
        return raw

    def answer(self, request: Request) -> Answer:
        if self.broken:
            return Answer(500, "Internal Server Error")
        if request.path in self.faults:
            status = self.faults[request.path]
            return Answer(status, {"message": f"The double answers {status} here, as it was told to."})
        if self.max_body and len(request.body) > self.max_body:
            return Answer(413, "Request Entity Too Large")
        if not request.path.startswith(_API):
            return Answer(404, _MISSING)
        route = request.path.removeprefix(_API)
        if route in {"health", "ready"}:
            return Answer(body={"status": "OK", "version": self.version})
        return self._authorized(route, request)

    def _authorized(self, route: str, request: Request) -> Answer:
        """The routes that need keys; those that a deployment lacks say so before they look at the keys."""
        old = route.partition("/")[0] in _OLD_READS or route in _OLD_READS
        if old and self._events_only:
            return Answer(404, {"message": _NOT_IN_EVENTS_ONLY})
        handler = {
            ("GET", "projects"): self._projects,
            ("POST", "otel/v1/traces"): self._otel if self.major >= 3 else None,
            ("POST", "ingestion"): self._ingestion,
            ("GET", "v2/observations"): self._v2 if self.major >= 3 else None,
            ("GET", "traces"): self._traces,
            ("GET", "observations"): self._old_observations,
        }.get((request.method, route))
        if handler is None and request.method == "GET" and route.startswith(("traces/", "observations/")):
            handler = self._by_id
        if handler is None:
            return Answer(404, _MISSING)
        try:
            project = authenticate(request.headers.get("authorization"), self.projects)
        except UnauthorizedError as error:
            named = {"error": "UnauthorizedError"} if route == "ingestion" else {}
            return Answer(401, {"message": str(error), **named})
        if project.organization_key:
            return Answer(403, {"message": _ORGANIZATION})
        return handler(request, project)

    @property
    def _events_only(self) -> bool:
        return self.major >= 4 and self.write_mode == "events_only"

    def _projects(self, _request: Request, project: Project) -> Answer:
        return Answer(body={"data": [project.public()]})

    def _otel(self, request: Request, project: Project) -> Answer:
        try:
            arrived = spans(request.body, request.headers)
        except MalformedError as error:
            return Answer(400, {"error": str(error)})
        for span in arrived:
            self.store.merge(observation(span, project.id), self.delay)
        return Answer(body={})

    def _v2(self, request: Request, project: Project) -> Answer:
        if self.major < 4 or self.write_mode == "legacy":
            message = "The observations v2 API is only available in a Langfuse v4 write mode."
            return Answer(404, {"message": message, "error": "LangfuseNotFoundError"})
        try:
            return Answer(body=page(self.store.observations(project.id), request.query))
        except InvalidError as error:
            return Answer(400, {"message": "Invalid request data", "error": [{"message": str(error)}]})
        except UnknownError as error:
            return Answer(501, {"message": str(error)})

    def _ingestion(self, request: Request, project: Project) -> Answer:
        if len(request.body) > _LEGACY_LIMIT:
            return Answer(413, "Body exceeded 4.5mb limit")
        try:
            batch = json.loads(request.body)["batch"]
        except (ValueError, KeyError, TypeError):
            batch = None
        if not isinstance(batch, list):
            return Answer(400, {"message": "Invalid request data", "errors": ["batch: expected an array"]})
        successes, errors = [], []
        for event in batch:
            problem = legacy.fault(event)
            if problem:
                named = event.get("id", "unknown") if isinstance(event, dict) else "unknown"
                errors.append({"id": named, "status": 400, "message": "Invalid request data", "error": problem})
            elif self._events_only and event["type"] not in legacy.ALWAYS_TAKEN:
                errors.append(legacy.refused(event))
            else:
                self._keep(event, project)
                successes.append({"id": event["id"], "status": 201})
        return Answer(207, {"successes": successes, "errors": errors})

    def _keep(self, event: Mapping[str, Any], project: Project) -> None:
        kind = event["type"]
        if kind == "trace-create":
            self.store.trace(project.id, {"id": event["id"], **event["body"]}, self.delay)
        elif kind == "score-create":
            self.store.score(project.id, event["body"], self.delay)
        elif kind != "sdk-log":
            self.store.merge(legacy.observed(event, project.id), self.delay)

    def _made_traces(self, project: Project) -> list[dict[str, Any]]:
        return legacy.traces(self.store.observations(project.id), self.store.traces(project.id))

    def _traces(self, request: Request, project: Project) -> Answer:
        return Answer(body=legacy.listing(self._made_traces(project), request.query))

    def _old_observations(self, request: Request, project: Project) -> Answer:
        return Answer(body=legacy.listing(self.store.observations(project.id), request.query))

    def _by_id(self, request: Request, project: Project) -> Answer:
        kind, _, wanted = request.path.removeprefix(_API).partition("/")
        observations = self.store.observations(project.id)
        if kind == "observations":
            found = next((item for item in observations if item["id"] == wanted), None)
        else:
            found = next((trace for trace in self._made_traces(project) if trace["id"] == wanted), None)
            if found:
                found["observations"] = [item for item in observations if item["traceId"] == wanted]
        if found is None:
            message = f"{kind.removesuffix('s').capitalize()} {wanted} not found within authorized project"
            return Answer(404, {"message": message, "error": "LangfuseNotFoundError"})
        return Answer(body=found)
