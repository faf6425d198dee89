"""An OpenAI-compatible server on loopback whose streams go on only when the test says so."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class Upstream:
    """What the server saw, the gate its streams wait at, and `open`, without which it answers nothing."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.closing = threading.Event()
        self.pieces, self.pause = 0, 0.0
        self.port = 0
        self.scheme = "http"

    def pace(self, seconds: float, *, pieces: int = 15) -> None:
        """Let each stream last so long: this many further pieces at equal distances."""
        self.pieces, self.pause = pieces, seconds / pieces

    def model(self, name: str = "demo-chat", *, host: str = "127.0.0.1") -> dict[str, Any]:
        """An entry for `model_list` that leads here."""
        base = f"{self.scheme}://{host}:{self.port}/v1"
        return {
            "model_name": name,
            "litellm_params": {"model": "openai/m", "api_base": base, "api_key": "upstream-key"},
        }


def _chunk(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _handler(upstream: Upstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else headers and body wait 40 ms for each other

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            upstream.requests.append(body)
            upstream.open.wait(30)
            if body.get("stream"):
                self._stream()
                return
            message = {"role": "assistant", "content": "from upstream"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            payload = json.dumps({**answer, "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(_chunk("first "))
            self.wfile.flush()
            upstream.waiting.set()
            upstream.gate.wait(30)
            try:
                for number in range(upstream.pieces):
                    upstream.closing.wait(upstream.pause)
                    self.wfile.write(_chunk(f"{number} "))
                self.wfile.write(_chunk("last", "stop") + b"data: [DONE]\n\n")
            except OSError:
                return
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """Run the server, with TLS when a context is given."""
    upstream = Upstream()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(upstream))
    server.daemon_threads = True
    upstream.port = server.server_port
    if context:
        upstream.scheme = "https"
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        upstream.gate.set()
        upstream.open.set()
        upstream.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
