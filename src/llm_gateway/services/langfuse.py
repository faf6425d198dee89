"""Langfuse: tracing. This version runs no server; it uses the one that the person names.

LiteLLM 1.106.2 with the callback `langfuse` sends OTLP to LANGFUSE_HOST with both keys (seen on the wire).
Without LANGFUSE_HOST it would send to Langfuse's cloud, so the kit's lines always name a host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway import credentials
from llm_gateway.doctor import langfuse as doctor
from llm_gateway.dotenv import Line
from llm_gateway.model_config.redaction import address
from llm_gateway.services.base import Check, Placement, Service, Setting
from llm_gateway.services.callbacks import SECTION, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Draft, Stack

_DEFAULT_HOST = "http://localhost:3000"
_CALLBACKS = {"langfuse", "langfuse_otel"}


def place(draft: Draft) -> Placement:
    """External when LANGFUSE_HOST and its keys are the person's; own keys alone say that the default host is meant."""
    if not draft.choices.flag("enableLangfuse"):
        return Placement("off", "Switched off.")
    host, keys = draft.environment.get("LANGFUSE_HOST"), _keys(draft)
    own_host = bool(host) and not draft.rendered("LANGFUSE_HOST") and host != _DEFAULT_HOST
    missing = [name for name, value in keys.items() if not value]
    own_keys = not missing and not credentials.PUBLICLY_KNOWN.intersection(keys.values())
    if host and not missing and (own_host or own_keys):
        return Placement("external", f"LANGFUSE_HOST names {address(host)}.")
    if own_host:
        return Placement(
            "unavailable",
            f"LANGFUSE_HOST names {address(host)}, but {' and '.join(missing)} is not set, so calls are not traced.",
            next="Set it in .env (Langfuse: Project, Settings, API Keys), or: --no-enable-langfuse",
        )
    return Placement(
        "unavailable",
        "Langfuse has no server that runs without Docker, so calls are not traced.",
        next="Name an existing server by LANGFUSE_HOST and its keys in .env, or: --no-enable-langfuse",
    )


def _keys(draft: Draft) -> dict[str, str]:
    defaults = {line.name: line.value for line in environment(draft)}
    names = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    return {name: draft.environment.get(name) or defaults[name] for name in names}


def environment(draft: Draft) -> tuple[Line, ...]:
    """Seed 004's three variables."""
    defaults = draft.choices.flag("startWithDefaults")
    public = credentials.LANGFUSE_PUBLIC_KEY if defaults else ""
    secret = credentials.LANGFUSE_SECRET_KEY if defaults else ""
    return (
        Line("LANGFUSE_PUBLIC_KEY", public, "Langfuse public key, from the project's settings."),
        Line("LANGFUSE_SECRET_KEY", secret, "Langfuse secret key, from the project's settings."),
        Line("LANGFUSE_HOST", _DEFAULT_HOST, "Langfuse server. Another one's, with its keys, makes the kit use it."),
    )


def _is_named(config: Mapping[str, Any]) -> bool:
    return any(callback in _CALLBACKS for _, callback in named(config))


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Trace successes and failures, unless the person's file names a callback of Langfuse's itself.

    `langfuse` under success_callback alone traces no failed call (seen on the wire); seed 004 has just that.
    """
    if not stack.runs("langfuse"):
        return ()
    present = {entry for entry in named(config) if entry[1] in _CALLBACKS}
    lists = {"success_callback", "failure_callback"}
    if present:
        lists = {"failure_callback"} if present == {("success_callback", "langfuse")} else set()
    reason = f"enableLangfuse: calls are traced at {address(stack.values['LANGFUSE_HOST'])}"
    return tuple(Setting((SECTION, name), "langfuse", reason, "append") for name in sorted(lists, reverse=True))


def unused(_stack: Stack, config: Mapping[str, Any]) -> str:
    if _is_named(config):
        return ""
    return (
        "Langfuse is enabled, but the config does not use it: no callback names langfuse. "
        "Add success_callback: [langfuse], or leave out --as-is, or: --no-enable-langfuse."
    )


LANGFUSE = Service(
    id="langfuse",
    title="Langfuse",
    place=place,
    environment=environment,
    gateway_settings=gateway_settings,
    unused=unused,
    checks=(Check("D213", "The external Langfuse takes the traces", doctor.keys),),
)
