"""Keeps unmasked text out of the spend log while Presidio is on.

With `store_prompts_in_spend_logs` LiteLLM 1.106.2 writes the request as the guardrail left it, but also (seen in the
database): the answer as the provider gave it; the whole request of a call that failed before or at the guardrail,
such as each one that was refused because Presidio was away; and every field that the guardrail does not look at, as
`tools` and `metadata`. This callback leaves of a request only what the guardrail certainly masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litellm.integrations.custom_logger import CustomLogger

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_KEPT = "not kept: Presidio is on, and this text was not masked"
# Where the guardrail masks text, by LiteLLM's name for the kind of call; each is tried in the tests.
_MASKED = {
    "acompletion": "messages",
    "anthropic_messages": "messages",
    "atext_completion": "prompt",
    "aembedding": "input",
    "aresponses": "input",
}


class MaskedOnly(CustomLogger):  # type: ignore[misc]  # LiteLLM ships no types
    """Sees every call before LiteLLM's own writer of the spend log does."""

    async def async_logging_hook(
        self, kwargs: dict[str, Any], result: Any, call_type: str
    ) -> tuple[dict[str, Any], Any]:
        """A call that was answered: its answer goes, its request stays as far as it was masked."""
        payload = kwargs.get("standard_logging_object")
        masked = isinstance(payload, dict) and _was_masked(payload)
        if isinstance(payload, dict):
            kwargs["standard_logging_object"] = {**payload, "messages": NOT_KEPT, "response": {"text": NOT_KEPT}}
        params = kwargs.get("litellm_params")
        if isinstance(params, dict):
            kwargs["litellm_params"] = _with_body(params, call_type if masked else "")
        return kwargs, result

    async def async_post_call_failure_hook(self, request_data: dict[str, Any], *_: Any, **__: Any) -> None:
        """A call that failed, maybe before it was masked: no text of it stays."""
        request_data.update(_with_body(request_data, ""))
        params = request_data.get("litellm_params")
        if isinstance(params, dict):
            request_data["litellm_params"] = _with_body(params, "")


def _was_masked(payload: Mapping[str, Any]) -> bool:
    """Does LiteLLM's record say that a Presidio guardrail worked on the request, and on every text of it?"""
    entries = payload.get("guardrail_information") or []
    states = [
        entry.get("guardrail_status")
        for entry in entries
        if isinstance(entry, dict)
        and entry.get("guardrail_provider") == "presidio"
        and "pre_call" in str(entry.get("guardrail_mode"))
    ]
    return bool(states) and set(states) == {"success"}


def _with_body(holder: Mapping[str, Any], call_type: str) -> dict[str, Any]:
    """`holder` whose `proxy_server_request` has only what may stay."""
    request = holder.get("proxy_server_request")
    if not isinstance(request, dict):
        return dict(holder)
    return {**holder, "proxy_server_request": {**request, "body": _kept(request.get("body"), call_type)}}


def _kept(body: Any, call_type: str) -> dict[str, Any]:
    """The model, and the text of a kind of call that the guardrail masks."""
    body = body if isinstance(body, dict) else {}
    kept = {"model": body["model"]} if isinstance(body.get("model"), str) else {}
    name = _MASKED.get(call_type)
    return {**kept, name: _text(body.get(name))} if name else {**kept, "text": NOT_KEPT}


def _text(value: Any) -> Any:
    """Texts, and messages with their role and text; anything else was perhaps not masked."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return NOT_KEPT
    return [_message(item) if isinstance(item, dict) else item if isinstance(item, str) else NOT_KEPT for item in value]


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    content = item.get("content")
    if isinstance(content, list):
        content = [
            {"type": "text", "text": part["text"]}
            if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            else NOT_KEPT
            for part in content
        ]
    return {"role": item.get("role"), "content": content if isinstance(content, str | list) else NOT_KEPT}


masked_only = MaskedOnly()
