"""Routes, JSON in, JSON out, and a clean error for every bad request. Knows no HTTP server."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# LiteLLM cuts what it sends to the analyzer into pieces, but gives the anonymizer the whole text.
LARGEST_BODY = 16 * 1024 * 1024
_LOG = logging.getLogger("presidio-server")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read completely."""

    method: str
    path: str
    query: str = ""
    content_type: str = ""
    body: bytes = b""

    def parameter(self, name: str) -> str | None:
        """A parameter of the query string; the first, if there are several."""
        return next((value for key, value in parse_qsl(self.query) if key == name), None)

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object.

        Raises:
            Refused: 415 another content type, 400 no JSON or another value.
        """
        media = self.content_type.split(";")[0].strip().lower()
        if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
            raise Refused(415, "The request's Content-Type must be application/json.")
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise Refused(400, "The request's body is no JSON.") from None
        if not isinstance(value, dict):
            raise Refused(400, "The request's body must be a JSON object.")
        return value


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"

    @property
    def status_line(self) -> str:
        """As WSGI takes it: `404 Not Found`."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def reply(value: Any, *, status: int = 200) -> Response:
    """`value` as JSON."""
    return Response(status, json.dumps(value, sort_keys=True).encode())


class Refused(Exception):  # noqa: N818 - an answer, not a fault of the server
    """A request that gets `status` and `{"error": message}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Api:
    """One of the two services: its name and its routes.

    Args:
        name: as the health page says it.
        routes: what answers a method and a path; a handler may raise `Refused`.
    """

    def __init__(self, name: str, routes: Mapping[tuple[str, str], Callable[[Request], Response]]) -> None:
        self._name = name
        healthy = Response(200, f"Presidio {name} service is up".encode(), "text/html; charset=utf-8")
        self._routes = {("GET", "/health"): lambda _request: healthy, **routes}

    def answer(self, request: Request) -> Response:
        """Answer; never raises."""
        try:
            return self._handler(request)(request)
        except Refused as refused:
            return reply({"error": refused.message}, status=refused.status)
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets an answer and the log a place
            # Not the message: it may hold the text that was to be masked.
            place = "".join(traceback.format_tb(error.__traceback__)[-3:])
            _LOG.error("%s %s failed with %s at\n%s", request.method, request.path, type(error).__name__, place)
            return reply({"error": "Internal server error"}, status=500)

    def _handler(self, request: Request) -> Callable[[Request], Response]:
        method = "GET" if request.method == "HEAD" else request.method
        handler = self._routes.get((method, request.path))
        if handler is None and any(path == request.path for _, path in self._routes):
            raise Refused(405, f"{request.path} does not take {method}.")
        if handler is None:
            raise Refused(404, f"The {self._name} has no such address. Is it mixed up with another service's?")
        if len(request.body) > LARGEST_BODY:
            raise Refused(413, f"The request's body is larger than {LARGEST_BODY} bytes.")
        return handler
