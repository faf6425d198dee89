"""A package index of the tests' own: real wheels, served over HTTP(S), with credentials if wanted."""

from __future__ import annotations

import base64
import io
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Index:
    """What the server does and saw.

    `tampered` names a project whose wheels get one more file, `stall` one about which it says nothing until
    `released` is set.
    """

    wheels: Path
    url: str = ""
    port: int = 0
    credentials: str = ""
    tampered: str = ""
    stall: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def files(self, project: str) -> list[Path]:
        wanted = project.replace("-", "_").lower()
        return sorted(path for path in self.wheels.glob("*.whl") if path.name.lower().split("-")[0] == wanted)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, index: Index, *arguments: object) -> None:
        self.index = index
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.index.requests.append(f"{self.command} {self.path}")
        expected = "Basic " + base64.b64encode(self.index.credentials.encode()).decode()
        if self.index.credentials and self.headers.get("Authorization") != expected:
            self.index.refused.append(self.path)
            self._answer(401, b"", ("WWW-Authenticate", 'Basic realm="index"'))
            return
        if self.index.stall and self.index.stall in self.path:
            self.index.released.wait(60)
        kind, _, name = unquote(self.path).strip("/").partition("/")
        if kind == "simple" and self.index.files(name):
            names = [escape(file.name) for file in self.index.files(name)]
            links = "".join(f'<a href="/files/{file}">{file}</a>\n' for file in names)
            self._answer(200, links.encode(), ("Content-Type", "text/html"))
        elif kind == "files" and (self.index.wheels / name).is_file():
            self._answer(200, self._content(name))
        else:
            self._answer(404, b"")

    def _content(self, name: str) -> bytes:
        content = (self.index.wheels / name).read_bytes()
        if not (self.index.tampered and name.startswith(self.index.tampered)):
            return content
        changed = io.BytesIO(content)
        with zipfile.ZipFile(changed, "a") as wheel:
            wheel.writestr("one_more_file.py", "")
        return changed.getvalue()

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Quiet: `Index.requests` has them."""


@contextmanager
def serve(index: Index, *, context: ssl.SSLContext | None = None) -> Iterator[Index]:
    """Serve `index` on a free port; over TLS with the server's `context`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, index))
    server.daemon_threads = True
    scheme = "http"
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    index.port = server.server_port
    index.url = f"{scheme}://127.0.0.1:{server.server_port}/simple"
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
