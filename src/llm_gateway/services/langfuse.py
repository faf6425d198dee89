"""Langfuse: tracing. Natively there is no server to run; the kit uses the one that the person names.

LiteLLM 1.106.2 with the callback `langfuse` sends OTLP to LANGFUSE_HOST with both keys (seen on the wire).
Without LANGFUSE_HOST it would send to Langfuse's cloud, so the kit's lines always name a host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway import credentials
from llm_gateway.doctor import langfuse as doctor
from llm_gateway.dotenv import Line
from llm_gateway.model_config.redaction import address
from llm_gateway.proofs.tracing import prove
from llm_gateway.services import langfuse_init
from llm_gateway.services.base import Absent, Check, Placement, Proof, Service, Setting
from llm_gateway.services.callbacks import SECTION, named
from llm_gateway.services.probe_model import without_probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Draft, Stack

_PORT = 3000
_DEFAULT_HOST = f"http://localhost:{_PORT}"
_HOST_COMMENT = "Langfuse server. Another one's, with its keys, makes the kit use it."
_CALLBACKS = {"langfuse", "langfuse_otel"}
# Copied, filled in and run, it adds tracing to a gateway, running or not.
_LINE = "LANGFUSE_HOST=https://HOST LANGFUSE_PUBLIC_KEY=pk-lf-KEY LANGFUSE_SECRET_KEY=sk-lf-KEY llm-gateway restart"


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
        "Langfuse's server needs Docker, which this gateway does without: calls are not traced.",
        next=(
            f"To trace to a Langfuse that you have: {_LINE} (or, to keep it, the three in {draft.home.env_link}). "
            "Without tracing: --no-enable-langfuse; prompts on LiteLLM's own Logs page: --store-prompts"
        ),
    )


def _keys(draft: Draft) -> dict[str, str]:
    defaults = {line.name: line.value for line in environment(draft)}
    names = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    return {name: draft.environment.get(name) or defaults[name] for name in names}


def environment(draft: Draft) -> tuple[Line, ...]:
    """Seed 004's three variables; for a server of the kit's own also what it starts with.

    Raises:
        InputError: E370 to E378, the server or the gateway's tracing would not start with the variables.
    """
    placement = draft.placements.get("langfuse")
    if placement and placement.runs:
        langfuse_init.refuse_bad_numbers(draft.environment.merged())
    if placement and placement.where == "docker":
        url = f"http://localhost:{draft.ports.get('langfusePort', _PORT)}"
        return (Line("LANGFUSE_HOST", url, _HOST_COMMENT), *langfuse_init.lines(draft, url=_ui(draft, url)))
    defaults = draft.choices.flag("startWithDefaults")
    public = credentials.LANGFUSE_PUBLIC_KEY if defaults else ""
    secret = credentials.LANGFUSE_SECRET_KEY if defaults else ""
    return (
        Line("LANGFUSE_PUBLIC_KEY", public, "Langfuse public key, from the project's settings."),
        Line("LANGFUSE_SECRET_KEY", secret, "Langfuse secret key, from the project's settings."),
        Line("LANGFUSE_HOST", _DEFAULT_HOST, _HOST_COMMENT),
    )


def _ui(draft: Draft, url: str) -> str:
    """Where browsers reach Langfuse; in a codespace the forwarded port has an address of its own."""
    name = draft.environment.get("CODESPACE_NAME")
    domain = draft.environment.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    return f"https://{name}-{url.rpartition(':')[2]}.{domain}" if name and domain else url


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


def not_to_be_proven(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Why `verify` shows no trace with this stack: there is no Langfuse, or nothing to send without cost."""
    placement = stack.placements["langfuse"]
    if placement.where == "off":
        return Absent("off", placement.reason)
    if not placement.runs:
        return Absent("unavailable", placement.reason, placement.next)
    # A config that names no callback is not proven, which is worth more than that the probe is missing.
    return without_probe(stack, config) if _is_named(config) else None


LANGFUSE = Service(
    id="langfuse",
    title="Langfuse",
    place=place,
    secrets=langfuse_init.SECRETS,
    environment=environment,
    gateway_settings=gateway_settings,
    unused=unused,
    checks=(Check("D213", "Langfuse takes the traces", doctor.keys, at_start=True),),
    proofs=(Proof("tracing", "a call is read back from Langfuse, and a refused one", not_to_be_proven, prove),),
)
