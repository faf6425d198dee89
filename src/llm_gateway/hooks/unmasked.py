"""Keeps the text of a call that was refused before it was masked out of traces and every other log.

When Presidio is away, or an entity is blocked, its guardrail refuses the call; LiteLLM 1.106.2 then logs the refusal
with the text as it came, which was read back, unmasked, from Langfuse. No hook of LiteLLM's stands between the two, so
the step that runs the guardrails is wrapped.
"""

from __future__ import annotations

import functools
from typing import Any

NOT_KEPT = "not kept: this call was refused before its text was masked"
_REFUSED = "llm_gateway_refused_before_masking"
_TEXTS = ("messages", "prompt", "input")
_BESIDE = ("system", "instructions", "tools", "functions", "contents", "query", "documents")


@functools.cache
def install() -> None:
    """Wrap LiteLLM's step before a call and its step after a failure; in each process once."""
    from litellm.proxy.utils import ProxyLogging  # noqa: PLC0415 - 5 s, imported by the worker

    before, after = ProxyLogging.pre_call_hook, ProxyLogging.post_call_failure_hook

    @functools.wraps(before)
    async def pre_call_hook(self: Any, user_api_key_dict: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await before(self, user_api_key_dict, data, *args, **kwargs)
        except Exception as refusal:
            if isinstance(data, dict) and _masks():
                empty(data)
                refusal.__dict__[_REFUSED] = True
            raise

    @functools.wraps(after)
    async def post_call_failure_hook(
        self: Any, request_data: Any, original_exception: Any, *args: Any, **kwargs: Any
    ) -> Any:
        # On some routes, as /v1/completions, LiteLLM logs another copy of the request than the guardrail saw.
        if isinstance(request_data, dict) and getattr(original_exception, _REFUSED, False):
            empty(request_data)
        return await after(self, request_data, original_exception, *args, **kwargs)

    ProxyLogging.pre_call_hook, ProxyLogging.post_call_failure_hook = pre_call_hook, post_call_failure_hook


def _masks() -> bool:
    """Is a Presidio guardrail among the callbacks?"""
    import litellm  # noqa: PLC0415 - see install

    classes = (base for callback in litellm.callbacks for base in type(callback).__mro__)
    return any("Presidio" in base.__name__ for base in classes)


def empty(data: dict[str, Any]) -> None:
    """Replace the text of a request, wherever LiteLLM would log it from."""
    _replace(data)
    for name in _BESIDE:
        data.pop(name, None)
    request = data.get("proxy_server_request")
    if isinstance(request, dict):
        body = request.get("body")
        model = body.get("model") if isinstance(body, dict) else None
        request["body"] = {"model": model, "text": NOT_KEPT}  # in place: LiteLLM's logger holds it, too
    logging = data.get("litellm_logging_obj")
    details = getattr(logging, "model_call_details", None)
    if isinstance(details, dict):
        logging.messages = _instead("messages")  # type: ignore[union-attr]
        # LiteLLM looked at the request before the guardrail did, and keeps it in these.
        for holder in (details, details.get("optional_params"), getattr(logging, "optional_params", None)):
            if isinstance(holder, dict):
                _replace(holder)


def _replace(holder: dict[str, Any]) -> None:
    for name in _TEXTS:
        if name in holder:
            holder[name] = _instead(name)


def _instead(name: str) -> Any:
    return [{"role": "user", "content": NOT_KEPT}] if name == "messages" else NOT_KEPT
