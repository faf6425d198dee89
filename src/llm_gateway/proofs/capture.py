"""The capture server: what the gateway forwards for the probe model, kept word by word, and an answer of known size.

It speaks OpenAI's API for chat, completions, embeddings and responses, plain and streamed, on loopback. Every answer
reports the same usage, so the price of a call is known beforehand.
"""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zlib import crc32

from llm_gateway.errors import PreconditionError
from llm_gateway.names import PROBE
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ANSWER = "Received by the probe."
_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class Captured:
    """One request as it arrived: path, JSON body, and the body as text in which every character stands for itself."""

    path: str
    body: Mapping[str, Any]
    text: str


class Capture:
    """What arrived. Requests of several proofs come in between one another; a word of each prompt tells them apart."""

    def __init__(self) -> None:
        self._requests: list[Captured] = []
        self._answers: dict[str, str] = {}
        self._slow: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, path: str, body: Mapping[str, Any]) -> None:
        with self._lock:
            self._requests.append(Captured(path, body, json.dumps(body, ensure_ascii=False)))

    def clear(self) -> None:
        """Forget all of it."""
        with self._lock:
            self._requests.clear()
            self._answers.clear()
            self._slow.clear()

    def say(self, word: str, text: str) -> None:
        """Answer requests whose body holds `word` with `text`."""
        with self._lock:
            self._answers[word] = text

    def take(self, word: str, seconds: float) -> None:
        """Take so long for requests whose body holds `word`: calls at once are under way together then."""
        with self._lock:
            self._slow[word] = seconds

    def seconds(self, body: Mapping[str, Any]) -> float:
        """How long a request takes."""
        sent = json.dumps(body, ensure_ascii=False)
        with self._lock:
            return next((seconds for word, seconds in self._slow.items() if word in sent), 0.0)

    def answer(self, body: Mapping[str, Any]) -> str:
        """What a request is answered with."""
        sent = json.dumps(body, ensure_ascii=False)
        with self._lock:
            return next((text for word, text in self._answers.items() if word in sent), ANSWER)

    def seen(self, word: str) -> list[Captured]:
        """The requests whose body holds `word`, oldest first."""
        with self._lock:
            return [request for request in self._requests if word in request.text]


@contextmanager
def capturing(port: int) -> Iterator[Capture]:
    """Serve on a loopback port until the end of the block.

    Raises:
        PreconditionError: E702, somebody else listens there.
    """
    capture = Capture()
    try:
        server = _Server(("127.0.0.1", port), _handler(capture))
    except OSError as error:
        raise PreconditionError(
            "E702",
            f"Port {port}, where the gateway's probe model is answered, cannot be used: {error.strerror or error}.",
            cause="Another process took it since the gateway started.",
            next="Stop that process, or: llm-gateway restart --auto-ports",
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True  # of the last verify's connections, not of a live server's port
    request_queue_size = 64


def _handler(capture: Capture) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body would wait 40 ms for each other

        def do_POST(self) -> None:
            route = self.path.partition("?")[0].removeprefix("/v1/")
            try:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                capture.add(self.path, body)
                answer = _ANSWERS[route]
            except (KeyError, TypeError, ValueError):
                self._send(404, "application/json", b'{"error": {"message": "The probe does not know this route."}}')
                return
            text = capture.answer(body)
            time.sleep(capture.seconds(body))
            if body.get("stream"):
                events = b"".join(_events(route, body, text))
                self._send(200, "text/event-stream", events)
            else:
                self._send(200, "application/json", json.dumps(answer(body, text)).encode())

        def do_GET(self) -> None:
            models = {"object": "list", "data": [{"id": PROBE, "object": "model", "created": 1, "owned_by": "probe"}]}
            self._send(200, "application/json", json.dumps(models).encode())

        def _send(self, status: int, kind: str, payload: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            """Say nothing: `Capture` keeps more than a log would."""

    return Handler


def _head() -> dict[str, Any]:
    # LiteLLM's spend log has a row for each id: a second answer with the same one is left out.
    return {"id": f"probe-{uuid4()}", "created": int(time.time()), "model": PROBE}


_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}


def _chat(_body: Mapping[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {**_head(), "object": "chat.completion", "choices": [choice], "usage": _USAGE}


def _completion(_body: Mapping[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "text": text, "logprobs": None}
    return {**_head(), "object": "text_completion", "choices": [choice], "usage": _USAGE}


def _embedding(body: Mapping[str, Any], _text: str) -> dict[str, Any]:
    given = body.get("input") or ""
    texts = given if isinstance(given, list) else [given]
    data = [{"object": "embedding", "index": i, "embedding": _vector(str(text))} for i, text in enumerate(texts)]
    usage = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
    return {"object": "list", "model": PROBE, "data": data, "usage": usage}


def _vector(text: str) -> list[float]:
    """A unit vector of the words: the more words two texts share, the closer they are."""
    numbers = [1e-3] * _DIMENSIONS
    for word in text.lower().split():
        numbers[crc32(word.encode()) % _DIMENSIONS] += 1
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


def _response(_body: Mapping[str, Any], text: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
    usage = {
        "input_tokens": PROMPT_TOKENS,
        "output_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    head = {**_head(), "object": "response", "created_at": int(time.time()), "status": "completed"}
    rest = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "error": None, "instructions": None}
    return {**head, "output": [message], "usage": usage, **rest}


_ANSWERS = {
    "chat/completions": _chat,
    "completions": _completion,
    "embeddings": _embedding,
    "responses": _response,
}


def _events(route: str, body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The answer as server-sent events, word by word."""
    if route == "responses":
        yield from _response_events(body, text)
        return
    kind = "chat.completion.chunk" if route == "chat/completions" else "text_completion"
    head, words = _head(), text.split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    for number, piece in enumerate([*pieces, ""]):
        part: dict[str, Any] = (
            {"delta": {"role": "assistant", "content": piece}} if route == "chat/completions" else {"text": piece}
        )
        choice = {"index": 0, "finish_reason": "stop" if number == len(pieces) else None, **part}
        yield _event({**head, "object": kind, "choices": [choice]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**head, "object": kind, "choices": [], "usage": _USAGE})
    yield b"data: [DONE]\n\n"


def _response_events(body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    whole = _response(body, text)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    (item,) = whole["output"]
    yield _event({"type": "response.created", "sequence_number": 0, "response": begun})
    added = {**item, "status": "in_progress", "content": []}
    yield _event({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": added})
    yield _event({"type": "response.output_text.delta", "sequence_number": 2, **place, "delta": text})
    yield _event({"type": "response.output_text.done", "sequence_number": 3, **place, "text": text})
    yield _event({"type": "response.output_item.done", "sequence_number": 4, "output_index": 0, "item": item})
    yield _event({"type": "response.completed", "sequence_number": 5, "response": whole})


def _event(value: Mapping[str, Any]) -> bytes:
    kind = value.get("type")
    head = f"event: {kind}\n" if kind else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()
