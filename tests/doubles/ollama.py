"""A stand-in for Ollama that follows its documented API (ollama/ollama, docs/api.md), without a model.

It answers /api/tags, /api/show, /api/chat, /api/generate and /api/embed for the models it has. As with the real
one, streams are lines of JSON and the default, images are plain base64, and /v1/api/… does not exist.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from doubles.server import Answer, Double, Request, count, pieces, vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHEN = "2026-01-01T00:00:00.000000Z"
_CHAT, _VISION, _EMBED = ("completion", "tools"), ("completion", "vision"), ("embedding",)


@dataclass
class Ollama(Double):
    """`models`: what was pulled, each with its capabilities."""

    models: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {"qwen2.5-coder:7b": _CHAT, "llava:7b": _VISION, "bge-m3:latest": _EMBED}
    )

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) == ("GET", "/"):
            return Answer(body="Ollama is running")
        if (request.method, request.path) == ("GET", "/api/tags"):
            return Answer(body={"models": [_tag(name) for name in self.models]})
        route = {
            "/api/show": self._show,
            "/api/chat": self._chat,
            "/api/generate": self._generate,
            "/api/embed": self._embed,
        }.get(request.path)
        if route is None or request.method != "POST":
            return Answer(404, "404 page not found")
        body = request.body or {}
        name = str(body.get("model") or body.get("name") or "")
        name = name if ":" in name else f"{name}:latest"
        if name not in self.models:
            return Answer(404, {"error": f"model '{name.removesuffix(':latest')}' not found"})
        return route(name, body)

    def _show(self, name: str, _body: Mapping[str, Any]) -> Answer:
        capabilities = list(self.models[name])
        template = "{{ if .Tools }}{{ .Tools }}{{ end }}{{ .Prompt }}" if "tools" in capabilities else "{{ .Prompt }}"
        info = {"general.architecture": "double", "double.context_length": 4096}
        details = _tag(name)["details"]
        return Answer(body={"template": template, "details": details, "model_info": info, "capabilities": capabilities})

    def _chat(self, name: str, body: Mapping[str, Any]) -> Answer:
        if "completion" not in self.models[name]:
            return _cannot(name, "chat")
        messages = body.get("messages") or []
        seen = [image for message in messages for image in message.get("images") or []]
        prompt = messages[-1].get("content", "") if messages else ""
        return _completion(name, body, prompt, seen, lambda text: {"message": {"role": "assistant", "content": text}})

    def _generate(self, name: str, body: Mapping[str, Any]) -> Answer:
        if "completion" not in self.models[name]:
            return _cannot(name, "generate")
        return _completion(
            name, body, body.get("prompt", ""), body.get("images") or [], lambda text: {"response": text}
        )

    def _embed(self, name: str, body: Mapping[str, Any]) -> Answer:
        given = body.get("input", [])
        texts = [given] if isinstance(given, str) else given
        return Answer(
            body={
                "model": name,
                "embeddings": [vector(text) for text in texts],
                "total_duration": 1000000,
                "load_duration": 1000,
                "prompt_eval_count": sum(count(text) for text in texts),
            }
        )


def reply(prompt: str, images: int = 0) -> str:
    """What every model of the double says."""
    seen = f" and saw {images} image" if images else ""
    return f"I read {count(prompt)} words{seen}."


def _completion(name: str, body: Mapping[str, Any], prompt: str, images: list[str], part: Any) -> Answer:
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError):
            return Answer(400, {"error": "illegal base64 data at input byte 0"})
    text = reply(prompt, len(images))
    head = {"model": name, "created_at": _WHEN}
    end = {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1000000,
        "load_duration": 1000,
        "prompt_eval_count": count(prompt),
        "eval_count": count(text),
    }
    if body.get("stream", True) is False:
        return Answer(body={**head, **part(text), **end})

    def lines() -> Iterator[bytes]:
        for piece in pieces(text):
            yield json.dumps({**head, **part(piece), "done": False}).encode() + b"\n"
        yield json.dumps({**head, **part(""), **end}).encode() + b"\n"

    return Answer(stream=lines(), content_type="application/x-ndjson")


def _cannot(name: str, what: str) -> Answer:
    return Answer(400, {"error": f'"{name.removesuffix(":latest")}" does not support {what}'})


def _tag(name: str) -> dict[str, Any]:
    details = {"format": "gguf", "family": "double", "parameter_size": "7B", "quantization_level": "Q4_0"}
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {"name": name, "model": name, "modified_at": _WHEN, "size": 1000, "digest": digest, "details": details}
