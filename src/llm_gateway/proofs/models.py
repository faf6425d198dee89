"""Proofs of what the gateway answers: chat, streams, completions, embeddings, images, the list of models.

Each is shown on the probe model first, with and without `/v1`; then on the models of the config. So a model that
does not answer while the probe does is its provider's failure, not the gateway's.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_gateway.names import INTERNAL, PROBE
from llm_gateway.proofs.answers import body_of, said
from llm_gateway.proofs.base import Evidence, NothingToProve, NotProven, ProviderDown
from llm_gateway.proofs.picture import image
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from llm_gateway.proofs.bench import Bench
    from llm_gateway.proofs.catalogue import Model

_FRESH = {"no-cache": True, "no-store": True}
MAX_TOKENS = 16  # a paid model's answer need not be long
THINKING = 1024  # … but one that thinks first answers 400, or nothing, when all of it goes on thinking
_PACKAGE = ("No module named", "pip install")  # as LiteLLM and Python say that one is missing
_UNREACHABLE = ("Connection error", "Timeout", "ServiceUnavailable", "Cannot connect")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of call.

    Attributes:
        route: below the gateway, without /v1.
        modes: of the models that can be asked.
        body: for a prompt.
        tokens: reads an answer and gives its usage; ValueError when the answer is none.
        probe_tokens: the usage that the probe's answer has.
        vision: only for models that take images.
    """

    route: str
    modes: tuple[str, ...]
    body: Callable[[str], dict[str, Any]]
    tokens: Callable[[httpx.Response], int]
    probe_tokens: int = PROMPT_TOKENS + COMPLETION_TOKENS
    vision: bool = False


def _messages(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": MAX_TOKENS}


def _with_image(prompt: str) -> dict[str, Any]:
    parts = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": image()}}]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": MAX_TOKENS}


def _usage(answer: httpx.Response) -> int:
    tokens = (body_of(answer).get("usage") or {}).get("total_tokens")
    if not tokens:
        raise ValueError("its usage is missing")
    return int(tokens)


def _of_a_choice(answer: httpx.Response) -> int:
    if not body_of(answer).get("choices"):
        raise ValueError("there is no choice in it")
    return _usage(answer)


def _of_vectors(answer: httpx.Response) -> int:
    data = body_of(answer).get("data") or [{}]
    if not data[0].get("embedding"):
        raise ValueError("there is no vector in it")
    return int((body_of(answer).get("usage") or {}).get("total_tokens") or 0)  # canned vectors have none


def _of_a_stream(answer: httpx.Response) -> int:
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        raise ValueError("the stream does not end with [DONE]")
    parts = [json.loads(event) for event in events[:-1]]
    deltas = [choice.get("delta") or {} for part in parts for choice in part.get("choices") or []]
    if not any(delta.get("content") or delta.get("reasoning_content") for delta in deltas):
        raise ValueError("no piece of the stream holds text")
    usage = next((part["usage"] for part in reversed(parts) if part.get("usage")), None)
    if usage is None:
        raise ValueError("the stream does not say its usage")
    return int(usage["total_tokens"])


_CHAT = ("chat", "responses")
_KINDS = {
    "chat": _Kind("/chat/completions", _CHAT, _messages, _of_a_choice),
    "stream": _Kind(
        "/chat/completions",
        _CHAT,
        lambda prompt: {**_messages(prompt), "stream": True, "stream_options": {"include_usage": True}},
        _of_a_stream,
    ),
    "completions": _Kind(
        "/completions",
        ("completion", *_CHAT),
        lambda prompt: {"prompt": prompt, "max_tokens": MAX_TOKENS},
        _of_a_choice,
    ),
    "embeddings": _Kind(
        "/embeddings", ("embedding",), lambda prompt: {"input": prompt}, _of_vectors, probe_tokens=PROMPT_TOKENS
    ),
    "vision": _Kind("/chat/completions", _CHAT, _with_image, _of_a_choice, vision=True),
}


def chosen(bench: Bench, capability: str) -> list[Model]:
    """The models of the config that a capability is shown on: those that were named, else the first that can."""
    kind = _KINDS[capability]
    able = [m for m in bench.catalogue() if m.mode in kind.modes and (m.vision or not kind.vision)]
    if bench.models:
        return [model for model in able if model.name in bench.models]
    return able[:1]


def proving(capability: str) -> Callable[[Bench], Evidence]:
    """The proof of one kind of call."""

    def prove(bench: Bench) -> Evidence:
        kind, models = _KINDS[capability], chosen(bench, capability)
        if not models:
            what = "takes images" if kind.vision else f"answers {kind.route}"
            named = " among the named ones" if bench.models else ""
            patterns = any("*" in str(entry.get("model_name")) for entry in bench.config.get("model_list") or [])
            hint = " Models of a pattern (*) are asked by name: --model NAME." if patterns and not bench.models else ""
            raise NothingToProve(f"No model of the config{named} {what}.{hint}")
        if bench.has_probe:
            for prefix in ("/v1", ""):
                _on_the_probe(bench, kind, prefix + kind.route)
        return _judged([_on(bench, kind, model) for model in models])

    return prove


def _on_the_probe(bench: Bench, kind: _Kind, path: str) -> None:
    word = bench.nonce()
    answer = bench.post(path, {"model": PROBE, "cache": _FRESH, **kind.body(f"Are you there? {word}")})
    if answer.status_code != 200:
        raise NotProven(
            f"{path} answered {answer.status_code}: {said(answer)}",
            cause="The gateway itself cannot answer: its own probe model stands behind this call, no provider.",
            next="llm-gateway logs gateway",
        )
    try:
        tokens = kind.tokens(answer)
    except ValueError as error:
        tokens, reason = 0, str(error)
    else:
        reason = f"it says {tokens} tokens instead of {kind.probe_tokens}"
    if tokens != kind.probe_tokens:
        raise NotProven(
            f"The answer of {path} is not what was sent: {reason}.",
            cause="A hook, guardrail or cache of the config changes answers.",
            next="llm-gateway plan shows what the config holds",
        )
    sent = kind.body(word).get("messages")
    if kind.vision and sent and image() not in str([seen.body for seen in bench.capture.seen(word)]):
        raise NotProven(
            "The image did not reach the model.",
            cause="A guardrail or hook of the config takes images out.",
            next="llm-gateway plan shows what the config holds",
        )


@dataclass(frozen=True, slots=True)
class _Answered:
    """What one model of the config gave: tokens and milliseconds, or a failure."""

    name: str
    tokens: int = 0
    milliseconds: int = 0
    failure: NotProven | None = None


def _on(bench: Bench, kind: _Kind, model: Model) -> _Answered:
    import httpx  # noqa: PLC0415 - 0.1 s that every verb would pay

    began = time.monotonic()
    body = {"model": model.name, "cache": _FRESH, "user": INTERNAL, **kind.body(f"Are you there? {bench.nonce()}")}
    if model.thinks and "max_tokens" in body:
        body["max_tokens"] = THINKING
    try:
        answer = bench.post(f"/v1{kind.route}", body)
    except httpx.TimeoutException:
        return _Answered(model.name, failure=_down(model.name, "no answer within a minute"))
    took = round((time.monotonic() - began) * 1000)
    if answer.status_code != 200:
        return _Answered(model.name, failure=_failure(bench, model.name, answer))
    try:
        return _Answered(model.name, kind.tokens(answer), took)
    except ValueError as error:
        failure = NotProven(
            f"{model.name} answered, but {error}.",
            cause="Its provider does not speak OpenAI's API as LiteLLM expects it.",
            next=f"llm-gateway verify --model {model.name} with another `model:` prefix in the config",
        )
        return _Answered(model.name, failure=failure)


def _failure(bench: Bench, name: str, answer: httpx.Response) -> NotProven:
    """Whose fault is it? The probe has just answered on this route, so it is not the gateway's."""
    text = said(answer)
    if any(words in text for words in _PACKAGE):
        return NotProven(
            f"{name} answered {answer.status_code}: {text}",
            cause="The gateway's Python lacks a package that this provider needs.",
            next=f"{sys.executable} -m pip install PACKAGE, then: llm-gateway restart",
        )
    gone = answer.status_code in {408, 429} or answer.status_code >= 500
    if gone and (bench.has_probe or any(word in text for word in _UNREACHABLE)):
        return _down(name, f"{answer.status_code}: {text}")
    refused = answer.status_code in {401, 403}
    return NotProven(
        f"{name} answered {answer.status_code}: {text}",
        cause="The provider refuses the key of this model." if refused else "The provider refuses the call.",
        next="Mend the model's api_key, as its variable in .env, then: llm-gateway reload"
        if refused
        else "Compare `model:` and `api_base:` in the config with the provider's documentation",
    )


def _down(name: str, reason: str) -> ProviderDown:
    return ProviderDown(
        f"The provider of {name} does not answer ({reason})",
        cause="It is down, or this machine does not reach it; the gateway itself answers.",
        next="Start the provider or mend api_base; llm-gateway verify --model NAME asks another model",
        data={"model": name},
    )


def _judged(answers: list[_Answered]) -> Evidence:
    """Evidence when at least one model answered and none failed for a reason of its own."""
    failures = [answer.failure for answer in answers if answer.failure is not None]
    good = [answer for answer in answers if answer.failure is None]
    wrong = [failure for failure in failures if not isinstance(failure, ProviderDown)]
    if wrong or not good:
        raise (wrong or failures)[0]
    tokens = {a.name: f", {a.tokens} tokens" if a.tokens else "" for a in good}
    lines = [f"{a.name} in {a.milliseconds} ms{tokens[a.name]}" for a in good] + [f.message for f in failures]
    data = {a.name: {"milliseconds": a.milliseconds, "tokens": a.tokens} for a in good}
    return Evidence("; ".join(lines), {"models": data, "down": [failure.message for failure in failures]})


def listed(bench: Bench) -> Evidence:
    """The list of models has those of the config, with and without /v1, and hides the probe."""
    wanted = {model.name for model in bench.catalogue() if not model.by_pattern}
    with bench.client() as client:
        for path in ("/v1/models", "/models"):
            answer = client.get(path)
            names = {str(entry.get("id")) for entry in body_of(answer).get("data") or []}
            missing = sorted(wanted - names)
            if answer.status_code != 200 or missing:
                raise NotProven(
                    f"{path} answered {answer.status_code} without {', '.join(missing) or 'a list'}.",
                    cause="LiteLLM did not take these models over; its log says why.",
                    next="llm-gateway logs gateway; llm-gateway lint FILE",
                )
    if PROBE in names and bench.has_keys:
        raise NotProven(
            f"{PROBE} is in the list that everybody sees.",
            cause="The config gives the team of the kit's own calls to other keys.",
            next=f"Take {INTERNAL} out of it",
        )
    shown = ", ".join(sorted(wanted)[:5]) + (", …" if len(wanted) > 5 else "")
    return Evidence(f"{len(wanted)} listed: {shown}", {"models": sorted(wanted)})


def paid(bench: Bench, capabilities: list[str]) -> Mapping[str, int]:
    """How many calls go to models that cost money, by model."""
    calls: dict[str, int] = {}
    for capability in capabilities:
        for model in chosen(bench, capability) if capability in _KINDS else ():
            if model.paid:
                calls[model.name] = calls.get(model.name, 0) + 1
    return calls
