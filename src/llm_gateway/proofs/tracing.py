"""Proof of tracing: a call and a refused one are read back from Langfuse by the ids of their traces."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from llm_gateway.credentials import redact
from llm_gateway.doctor import langfuse as doctor
from llm_gateway.model_config.sections import section
from llm_gateway.names import INTERNAL, PROBE, VERIFY
from llm_gateway.proofs import langfuse_api
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.proofs.spend import COST
from llm_gateway.services.callbacks import named
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from llm_gateway.proofs.bench import Bench

_CALLBACKS = {"langfuse", "langfuse_otel"}
_WITHIN = 15.0  # seconds beyond the gateway's own delay; a server of version 4 showed a call after 1 to 8
_PAUSE = 1.0  # seconds between two looks: Langfuse's cloud answers some dozens a minute, then 429
_NOBODY = f"{VERIFY}-no-such-model"
_HARDLY_ANY = 0.0001  # of the traces; for an id that is kept one in ten thousand has to be tried
_LOG = 200_000  # bytes of the gateway's log to look into
_RESTART = "llm-gateway restart"


@dataclass(frozen=True, slots=True)
class Sent:
    """A call whose trace is looked for."""

    trace: str
    session: str
    word: str
    began: float


def prove(bench: Bench) -> Evidence:
    """One call that is answered and one that LiteLLM refuses, each with its trace's id; then what Langfuse shows."""
    values = _values(bench)
    _refuse_what_loses_all(bench, values)
    server = langfuse_api.Server(values)
    log = _log_size(bench)
    answered = _send(bench, values, PROBE)
    failed = None if _takes_any_model(bench.config) else _send(bench, values, _NOBODY)
    flush = values.get("LANGFUSE_FLUSH_INTERVAL", "")
    seconds = _WITHIN + (int(flush) if flush.isdigit() else 1)  # LiteLLM takes whole seconds, and else 1

    def missing() -> NotProven:
        return _never_shown(bench, values, server, log, seconds)

    found = bench.until(lambda: _generations(server, answered), seconds=seconds, otherwise=missing, pause=_PAUSE)
    after = time.monotonic() - answered.began
    if failed is not None:
        refused = failed
        errors = bench.until(lambda: _errors(server, refused), seconds=seconds, otherwise=_failure_lost, pause=_PAUSE)
        # What was sent before it is all there by now; a server that does not answer just now shows nothing.
        found = _generations(server, answered) or found
    generation = _the_one(found, answered.trace)
    _compare(generation, answered, bench.config)
    data: dict[str, Any] = {
        "trace": generation["trace"],
        "observation": generation["id"],
        "seconds": round(after, 2),
        "model": generation["model"],
        "usage": generation["usage"],
        "dollars": generation["cost"],
        "failed": {"trace": errors[0]["trace"], "message": errors[0]["message"][:200]} if failed else None,
    }
    rest = ", a refused call, too" if failed else " (a refused call was not tried: the config takes any model's name)"
    text = (
        f"trace {generation['trace']}: model, {PROMPT_TOKENS + COMPLETION_TOKENS} tokens, {COST} $, user, session, tags"
    )
    content = "no input and output (turn_off_message_logging)" if _silent(bench.config) else "input and output"
    return Evidence(f"{text}, {content}, shown after {after:.1f} s{rest}", data)


def _values(bench: Bench) -> dict[str, str]:
    """The gateway's variables; a config may set some itself."""
    own = bench.config.get("environment_variables")
    said_there = {str(name): str(value) for name, value in own.items()} if isinstance(own, dict) else {}
    return {**bench.stack.values, **{n: v for n, v in said_there.items() if not v.startswith("os.environ/")}}


def _refuse_what_loses_all(bench: Bench, values: Mapping[str, str]) -> None:
    """What can be known before any call."""
    if not any(callback in _CALLBACKS for _, callback in named(bench.config)):
        raise NotProven(
            "The config that LiteLLM got names no callback of Langfuse: no call is traced.",
            cause="--as-is leaves out what the kit adds.",
            next='llm-gateway restart --no-as-is, or add success_callback and failure_callback: ["langfuse"]',
        )
    switched = [name for name in ("OTEL_SDK_DISABLED", "LANGFUSE_MOCK") if values.get(name, "").lower() == "true"]
    if _rate(values) < _HARDLY_ANY:
        switched.append("LANGFUSE_SAMPLE_RATE")
    if switched:
        raise NotProven(
            f"{switched[0]}={values[switched[0]]} makes the gateway drop its traces.",
            cause="The variable is set in .env, or in the shell that started the gateway.",
            next=f"Remove {switched[0]}, then: llm-gateway restart",
        )
    stack = bench.stack
    found = doctor.keys(stack)
    if found:
        raise NotProven(found[0], cause=stack.placements["langfuse"].reason, next=f"{found[1]}; then: {_RESTART}")


def _rate(values: Mapping[str, str]) -> float:
    """The part of the traces that is kept, as LiteLLM 1.106.2 reads it."""
    try:
        rate = float(values.get("LANGFUSE_SAMPLE_RATE") or 1)
    except ValueError:
        return 1.0
    return rate if 0 <= rate <= 1 else 1.0


def _trace_id(values: Mapping[str, str]) -> UUID:
    """An id that sampling keeps: LiteLLM 1.106.2 decides by the id's SHA-256."""
    most = round(_rate(values) * 2**64)
    while True:
        made = uuid4()
        if int.from_bytes(sha256(made.bytes).digest()[:8], "big") < most:
            return made


def _takes_any_model(config: Mapping[str, Any]) -> bool:
    """Is there a model `*`? A name that nobody has would then be sent to a provider."""
    return any(entry.get("model_name") == "*" for entry in config.get("model_list") or [])


def _send(bench: Bench, values: Mapping[str, str], model: str) -> Sent:
    """A call to the probe, or to a model that does not exist."""
    trace, session, word = _trace_id(values), f"{VERIFY}-{bench.nonce()}", bench.nonce()
    # A trace's id with hyphens is LiteLLM's too: Langfuse has it without.
    named_so = {"trace_id": str(trace), "session_id": session, "tags": [VERIFY], "trace_name": VERIFY}
    body: dict[str, Any] = {"metadata": named_so, **({} if model == PROBE else {"disable_fallbacks": True})}
    began = time.monotonic()
    answer = bench.chat(f"tracing {word}", model=model, **body)
    if model == PROBE and answer.status_code != 200:
        raise _package(answer) or NotProven(
            f"The call that should be traced was answered with {answer.status_code}: {said(answer)}",
            cause="The gateway itself cannot answer: its own probe model stands behind this call, no provider.",
            next="llm-gateway logs gateway",
        )
    return Sent(trace.hex, session, word, began)


def _package(answer: httpx.Response) -> NotProven | None:
    """The fault of a langfuse package that is missing or of another major version: every request fails."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - for this fault alone

    if "langfuse" not in answer.text.lower():
        return None
    try:
        installed = f"version {version('langfuse')}"
    except PackageNotFoundError:
        installed = "none"
    return NotProven(
        f"Every request fails with {answer.status_code}: {said(answer)}",
        cause=f"LiteLLM's logger needs the package langfuse >= 4.7, < 5; the gateway's Python has {installed}.",
        next=f"{sys.executable} -m pip install 'langfuse>=4.7,<5', then: {_RESTART}",
    )


def _errors(server: langfuse_api.Server, sent: Sent) -> list[dict[str, Any]]:
    return [item for item in server.call(sent.trace, sent.session) if item["level"] == "ERROR"]


def _failure_lost() -> NotProven:
    return NotProven(
        "A call that was answered is traced, and one that was refused is not.",
        cause="failure_callback in the config does not name langfuse.",
        next='Add failure_callback: ["langfuse"] to the config, then: llm-gateway reload',
    )


def _generations(server: langfuse_api.Server, sent: Sent) -> list[dict[str, Any]]:
    """The call's generations; a guardrail's work is a span beside them."""
    return [item for item in server.call(sent.trace, sent.session) if item["type"] == "GENERATION"]


def _the_one(generations: list[dict[str, Any]], trace: str) -> dict[str, Any]:
    if len(generations) == 1:
        return generations[0]
    raise NotProven(
        f"The trace {trace} of one call has {len(generations)} generations instead of one.",
        cause="Two callbacks log each call (langfuse and langfuse_otel), or another one takes the generations.",
        next="llm-gateway plan shows the config's callbacks; leave one of them",
    )


def _silent(config: Mapping[str, Any]) -> bool:
    """Does the config keep texts out of the traces?"""
    return section(config, "litellm_settings").get("turn_off_message_logging") is True


def _compare(seen: Mapping[str, Any], sent: Sent, config: Mapping[str, Any]) -> None:
    """Does the observation say what was said?"""
    from llm_gateway.proofs.capture import ANSWER  # noqa: PLC0415 - a server, which only verify needs

    silent = _silent(config)
    # A guardrail may take a word that nobody else has for a name.
    masked = bool(config.get("guardrails")) and bool(seen["input"])
    holds = {
        "model": PROBE in str(seen["model"]),
        "usage": (seen["usage"].get("input"), seen["usage"].get("output")) == (PROMPT_TOKENS, COMPLETION_TOKENS),
        "cost": abs((seen["cost"] or 0) - float(COST)) < float(COST) / 1000,
        "user": seen["user"] == INTERNAL,
        "session": seen["session"] == sent.session,
        "tags": VERIFY in seen["tags"],
        "input": silent or masked or sent.word in str(seen["input"]),
        "output": silent or ANSWER in str(seen["output"]),
    }
    wrong = [name for name, good in holds.items() if not good]
    if wrong:
        shown = {name: seen[name] for name in wrong}
        raise NotProven(
            f"The call is traced, but its {', '.join(wrong)} is not what was sent.",
            cause="Another callback than langfuse traces it, or a setting of the config redacts it.",
            next="llm-gateway plan shows the config's callbacks",
            data={"trace": sent.trace, "shown": {name: str(value)[:200] for name, value in shown.items()}},
        )


def _never_shown(
    bench: Bench, values: Mapping[str, str], server: langfuse_api.Server, log: int, seconds: float
) -> NotProven:
    """Why a call that was answered cannot be read back, from what else is known."""
    stack = bench.stack
    said_there = _complaint(bench, values, log)
    if said_there:
        return NotProven(
            f"The gateway could not deliver its traces: {said_there}",
            cause="It was started with other variables than .env has now, or its way to Langfuse is another one.",
            next=f"{_RESTART}; llm-gateway logs gateway",
        )
    found = doctor.keys(stack)
    if found:
        return NotProven(found[0], cause="It went away meanwhile.", next=found[1])
    where = f"Langfuse at {server.shown}"
    if langfuse_api.edited_since_start(stack):
        return NotProven(
            f"{where} shows no trace of a call after {seconds:.0f} s.",
            cause="The .env was edited after the gateway had started, which may send to another server or project.",
            next="llm-gateway reload",
        )
    return NotProven(
        f"{where} takes traces, but shows none of a call after {seconds:.0f} s.",
        cause="Its worker or its ClickHouse does not run, or is far behind: the web container takes traces without.",
        next="Look at the log of its worker's container; GET /api/health of the worker answers when it runs",
    )


def _log_size(bench: Bench) -> int:
    try:
        return bench.stack.home.log("gateway").stat().st_size
    except OSError:
        return 0


def _complaint(bench: Bench, values: Mapping[str, str], since: int) -> str:
    """The last thing that the gateway's log says about Langfuse since the proof began, without secrets."""
    try:
        with bench.stack.home.log("gateway").open("rb") as file:
            file.seek(min(since, file.seek(0, os.SEEK_END)))
            lines = file.read(_LOG).decode(errors="replace").splitlines()
    except OSError:
        return ""
    about = [line for line in lines if "Langfuse export" in line or "Langfuse rejected" in line]
    secrets = {name: values.get(name, "") for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")}
    return redact(" ".join(about[-1].split())[:300], secrets) if about else ""
