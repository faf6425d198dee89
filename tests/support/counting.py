"""An upstream that numbers its answers: two equal answers are one, out of a cache.

It speaks OpenAI's chat, completions, embeddings and responses and Anthropic's messages, streamed and whole.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from doubles.server import Answer, Double, Request, vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


@dataclass
class Counting(Double):
    """`constant`: every text has the same vector."""

    constant: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, request: Request) -> Answer:
        body, number = request.body or {}, next(self.numbers)
        if unknown := [name for name in ("cache", "cache_key", "litellm_params") if name in body]:
            return Answer(400, {"error": {"message": f"unknown: {unknown}"}})
        text = f"answer {number}"
        route = request.path.rpartition("/v1/")[2]
        if route == "embeddings":
            return self._embeddings(body)
        known = {"chat/completions": _chat, "completions": _completion, "responses": _responses, "messages": _messages}
        return known[route](body, text) if route in known else Answer(404, {"error": {"message": request.path}})

    def _embeddings(self, body: Mapping[str, Any]) -> Answer:
        given = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vectors = [self.embed("constant" if self.constant else str(text)) for text in given]
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        usage = {"prompt_tokens": len(given), "total_tokens": len(given)}
        return Answer(body={"object": "list", "data": data, "model": body["model"], "usage": usage})

    def embed(self, text: str) -> list[float]:
        return vector(text)

    def model(self, name: str, *, model: str = "", **more: Any) -> dict[str, Any]:
        """An entry of `model_list`; `model` with a provider other than OpenAI's by its prefix."""
        model = model or f"openai/{name}"
        base = self.url if model.startswith("anthropic/") else f"{self.url}/v1"
        return {"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": "none"}, **more}


def _events(events: list[Mapping[str, Any]], *, named: bool = False, done: bool = True) -> Answer:
    lines = [
        (f"event: {event['type']}\n".encode() if named else b"") + b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    ]
    return Answer(stream=[*lines, *([b"data: [DONE]\n\n"] if done else [])], content_type="text/event-stream")


def _chat(body: Mapping[str, Any], text: str) -> Answer:
    return _openai(body, text, "chat.completion")


def _completion(body: Mapping[str, Any], text: str) -> Answer:
    return _openai(body, text, "text_completion")


def _openai(body: Mapping[str, Any], text: str, kind: str) -> Answer:
    chat, stream = kind.startswith("chat"), body.get("stream")
    head = {"id": "x-1", "object": f"{kind}.chunk" if chat and stream else kind, "created": 1, "model": body["model"]}
    part = {"delta" if stream else "message": {"role": "assistant", "content": text}} if chat else {"text": text}
    first = {"index": 0, "finish_reason": None if stream else "stop", **part}
    if not stream:
        return Answer(body={**head, "choices": [first], "usage": _USAGE})
    empty: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    last = {"index": 0, "finish_reason": "stop", **empty}
    return _events(
        [{**head, "choices": [first]}, {**head, "choices": [last]}, {**head, "choices": [], "usage": _USAGE}]
    )


def _responses(body: Mapping[str, Any], text: str) -> Answer:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    made = {"id": "resp_1", "object": "response", "created_at": 1, "model": body["model"], "status": "completed"}
    made |= {"output": [item], "usage": usage, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    if not body.get("stream"):
        return Answer(body=made)
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**made, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": text},
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": made},
    ]
    return _events([{**event, "sequence_number": n} for n, event in enumerate(events)], named=True, done=False)


def _messages(body: Mapping[str, Any], text: str) -> Answer:
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    if not body.get("stream"):
        block = {"type": "text", "text": text}
        return Answer(body={**head, "content": [block], "stop_reason": "end_turn", "usage": usage})
    start = {**head, "content": [], "stop_reason": None, "usage": usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return _events(events, named=True, done=False)
