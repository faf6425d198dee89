"""A stand-in for servers with OpenAI's API (vLLM, Xinference, KServe), without a model.

It answers GET models and POST chat/completions, completions and embeddings below each of its base paths. It is as
strict as OpenAI itself: a field that the API does not have is refused, so that a setting which leaks to the provider
fails a test.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from doubles.server import Answer, Double, Request, count, pieces, vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SAMPLING = {"temperature", "top_p", "n", "stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias"}
_COMMON = {"model", "user", "stream", "stream_options", "max_tokens", *_SAMPLING}
_FIELDS = {
    "chat/completions": _COMMON
    | {"messages", "max_completion_tokens", "tools", "tool_choice", "response_format", "logprobs", "top_logprobs"},
    "completions": _COMMON | {"prompt", "suffix", "echo", "best_of", "logprobs"},
    "embeddings": {"model", "input", "encoding_format", "dimensions", "user"},
}


@dataclass
class OpenAICompatible(Double):
    """`models`: their names; `bases`: the paths below which the API stands; `api_key`: asked for unless empty."""

    models: tuple[str, ...] = ("Qwen/Qwen2.5-7B-Instruct", "bge-m3", "gte-large")
    bases: tuple[str, ...] = ("/v1", "/openai/v1")
    api_key: str = ""

    def answer(self, request: Request) -> Answer:
        base = next((base for base in self.bases if request.path.startswith(f"{base}/")), None)
        if base is None:
            return Answer(404, {"detail": "Not Found"})
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
        route = request.path.removeprefix(f"{base}/")
        if (request.method, route) == ("GET", "models"):
            listed = [{"id": name, "object": "model", "created": 1, "owned_by": "double"} for name in self.models]
            return Answer(body={"object": "list", "data": listed})
        if request.method != "POST" or route not in _FIELDS:
            return Answer(404, {"detail": "Not Found"})
        return self._post(route, request.body or {})

    def _post(self, route: str, body: Mapping[str, Any]) -> Answer:
        unknown = sorted(set(body) - _FIELDS[route])
        if unknown:
            message = f"Unrecognized request argument supplied: {', '.join(unknown)}"
            return _error(400, message, "invalid_request_error")
        model = body.get("model")
        if model not in self.models:
            return _error(404, f"The model `{model}` does not exist.", "NotFoundError", "model_not_found")
        if route == "embeddings":
            return _embeddings(body)
        if route == "completions":
            return _completion(body, str(body.get("prompt", "")), "text_completion", lambda text: {"text": text})
        texts, images = _content(body.get("messages") or [])
        if any(not _is_image(url) for url in images):
            return _error(400, "Invalid image_url: neither a URL nor base64 of an image.", "invalid_request_error")
        seen = f" and saw {len(images)} image" if images else ""
        return _chat(body, texts[-1] if texts else "", seen)


def reply(prompt: str, seen: str = "") -> str:
    """What every model of the double says."""
    return f"I read {count(prompt)} words{seen}."


def _content(messages: list[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Texts and image URLs, in order."""
    texts, images = [], []
    for message in messages:
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if part["type"] == "text"]
        images += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return texts, images


def _is_image(url: str) -> bool:
    if url.startswith(("http://", "https://")):
        return True
    head, _, data = url.partition(",")
    try:
        return head.startswith("data:image/") and bool(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError):
        return False


def _chat(body: Mapping[str, Any], prompt: str, seen: str) -> Answer:
    kind, part = ("chat.completion.chunk", "delta") if body.get("stream") else ("chat.completion", "message")
    return _completion(body, prompt, kind, lambda text: {part: {"role": "assistant", "content": text}}, seen)


def _completion(body: Mapping[str, Any], prompt: str, kind: str, part: Any, seen: str = "") -> Answer:
    text = reply(prompt, seen)
    head = {"id": "double-1", "object": kind, "created": 1, "model": body["model"]}
    usage = {
        "prompt_tokens": count(prompt),
        "completion_tokens": count(text),
        "total_tokens": count(prompt) + count(text),
    }
    if not body.get("stream"):
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None, **part(text)}
        return Answer(body={**head, "choices": [choice], "usage": usage})

    def event(choices: list[Any], **more: Any) -> bytes:
        return b"data: " + json.dumps({**head, "choices": choices, **more}).encode() + b"\n\n"

    def events() -> Iterator[bytes]:
        for piece in pieces(text):
            yield event([{"index": 0, "finish_reason": None, **part(piece)}])
        yield event([{"index": 0, "finish_reason": "stop", **part("")}])
        if (body.get("stream_options") or {}).get("include_usage"):
            yield event([], usage=usage)
        yield b"data: [DONE]\n\n"

    return Answer(stream=events(), content_type="text/event-stream")


def _embeddings(body: Mapping[str, Any]) -> Answer:
    given = body.get("input", [])
    # A string, or a list of strings; clients that tokenise themselves send lists of numbers.
    inputs = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    texts = [text if isinstance(text, str) else " ".join(map(str, text)) for text in inputs]
    vectors: list[Any] = [vector(text) for text in texts]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(vectors)]
    tokens = sum(count(text) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Answer(body={"object": "list", "data": data, "model": body["model"], "usage": usage})


def _error(status: int, message: str, kind: str, code: str | None = None) -> Answer:
    return Answer(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})
