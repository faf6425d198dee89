"""A realtime upstream: a WebSocket server that greets like OpenAI's and answers every event with its text."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from support.launcher import MASTER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.http11 import Request, Response


class Realtime:
    """Where the server listens and what it was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.port = 0

    def model(self, name: str = "realtime") -> dict[str, Any]:
        """An entry for `model_list` that leads here."""
        base = f"http://127.0.0.1:{self.port}"
        parameters = {"model": "openai/gpt-realtime", "api_base": base, "api_key": "upstream-key"}
        return {"model_name": name, "litellm_params": parameters, "model_info": {"mode": "realtime"}}

    def talk(self, connection: ServerConnection) -> None:
        assert connection.request
        self.paths.append(connection.request.path)
        connection.send(json.dumps({"type": "session.created", "event_id": "e0", "session": {"id": "s"}}))
        for number, message in enumerate(connection, 1):
            event = json.loads(message)
            said = event["item"]["content"][0]["text"] if "item" in event else event["type"]
            reply = {"type": "response.output_text.done", "event_id": f"e{number}", "text": f"heard {said}"}
            connection.send(json.dumps(reply))


def _only_sessions(connection: ServerConnection, request: Request) -> Response | None:
    """LiteLLM asks every upstream of its own address for its models when it starts."""
    return None if "Upgrade" in request.headers else connection.respond(404, "sessions only")


def session(address: str) -> ClientConnection:
    """A realtime session over a connection of its own."""
    url = address.replace("http://", "ws://") + "/v1/realtime?model=realtime"
    return connect(url, additional_headers={"Authorization": f"Bearer {MASTER_KEY}"}, proxy=None)


def say(client: ClientConnection, text: str) -> str:
    """Send a text and return what the upstream makes of it."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    client.send(json.dumps({"type": "conversation.item.create", "item": item}))
    reply: str = json.loads(client.recv(10))["text"]
    return reply


@contextmanager
def realtime_upstream() -> Iterator[Realtime]:
    upstream = Realtime()
    with serve(upstream.talk, "127.0.0.1", 0, process_request=_only_sessions) as server:
        upstream.port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()
