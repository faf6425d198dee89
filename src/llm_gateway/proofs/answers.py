"""Reading the gateway's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """The answer's JSON object; empty when it is none."""
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def said(answer: httpx.Response) -> str:
    """What an error answer says, in one line."""
    error = body_of(answer).get("error", answer.text)
    text = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(text).split())[:300]


def answer_text(answer: httpx.Response) -> str:
    """What a chat completion says, streamed or not."""
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    parts = [json.loads(line) for line in lines] or [body_of(answer)]
    choices = [choice for part in parts for choice in part.get("choices") or []]
    return "".join(str((c.get("delta") or c.get("message") or {}).get("content") or "") for c in choices)
