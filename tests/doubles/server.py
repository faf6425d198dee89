"""What the doubles share: a small HTTP server on a free loopback port that remembers every request."""

from __future__ import annotations

import hashlib
import json
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator, Mapping


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `body` is what the double read from it. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    query: str = ""


@dataclass(frozen=True)
class Answer:
    """What a double says: `body` as JSON (a string as plain text), or `stream` piece by piece."""

    status: int = 200
    body: Any = None
    stream: Iterable[bytes] | None = None
    content_type: str = "application/json"


@dataclass
class Double:
    """A server that a test can look into. Subclasses answer; `running` serves them."""

    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def read(self, raw: bytes) -> Any:
        """A request's body as `answer` wants it: its JSON, None without one. ValueError is answered with 400."""
        return json.loads(raw) if raw else None

    def bodies(self, path: str) -> list[Any]:
        """The bodies that arrived at `path`, oldest first."""
        return [request.body for request in list(self.requests) if request.path == path]


Kind = TypeVar("Kind", bound=Double)


def vector(text: str, size: int = 8) -> list[float]:
    """A unit vector that depends on the text alone, so that equal texts are equal and others differ."""
    numbers = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:size]]
    length = math.sqrt(sum(number * number for number in numbers))
    return [round(number / length, 6) for number in numbers]


def count(text: str) -> int:
    """Tokens of `text`: its words. Real servers count otherwise, but they count too."""
    return len(text.split())


def pieces(text: str) -> list[str]:
    """The text as a stream brings it: word by word, spaces kept."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _handler(double: Double) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                body = double.read(raw)
            except ValueError:
                self._send(Answer(400, {"error": "the body is not JSON"}))
                return
            path, _, query = self.path.partition("?")
            request = Request(self.command, path, headers, body, query)
            double.requests.append(request)
            self._send(double.answer(request))

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the names http.server calls

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            if answer.stream is not None:
                self.send_header("content-type", answer.content_type)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for piece in answer.stream:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
                return
            text = isinstance(answer.body, str)
            payload = answer.body.encode() if text else json.dumps(answer.body).encode()
            self.send_header("content-type", "text/plain" if text else answer.content_type)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Say nothing; `requests` remembers more than a log would."""

    return Handler


@contextmanager
def running(double: Kind, *, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Kind]:
    """Serve the double on a free port, or on `port`, until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(double))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    double.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
