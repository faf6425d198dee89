"""What a person needs after a start: where, with which key, and one line that proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.model_config import include
from llm_gateway.results import Result
from llm_gateway.services.gateway import client_key, master_key
from llm_gateway.services.registry import BY_ID
from llm_gateway.verbs.connect import curl_line

if TYPE_CHECKING:
    from llm_gateway.seeding.litellm import Report
    from llm_gateway.services.base import Stack


def first_chat_model(stack: Stack) -> str:
    """The name of the first model in the config that is not an embedding model, "" when there is none."""
    for entry in include.read(stack.config).get("model_list") or []:
        if not isinstance(entry, dict):
            continue
        mode = (entry.get("model_info") or {}).get("mode", "chat")
        name = str(entry.get("model_name", ""))
        if mode in {"chat", "completion", "responses"} and "*" not in name:
            return name
    return ""


def data(stack: Stack) -> dict[str, Any]:
    """The summary as `--json` carries it. The keys are the person's own; they are what the summary is for."""
    return {
        "home": str(stack.home.root),
        "config": str(stack.config),
        "url": stack.public_url,
        "base_url": f"{stack.public_url}/v1",
        "ui": {"url": f"{stack.public_url}/ui", "user": "admin", "password": master_key(stack)},
        "key": client_key(stack),
        "log": str(stack.home.log("gateway")),
        "workers": stack.workers,
        "services": {
            id_: {"where": placement.where, "reason": placement.reason} for id_, placement in stack.placements.items()
        },
    }


def text(stack: Stack) -> str:
    """The summary as a person reads it; the last line works when pasted."""
    ui = f"{stack.public_url}/ui  (user admin, password {master_key(stack)})"
    rows = [("Gateway", stack.public_url)]
    if stack.runs("postgres"):
        rows.append(("Admin UI", ui))
    rows += [
        ("Base URL", f"{stack.public_url}/v1"),
        ("Key", client_key(stack)),
        ("Log", str(stack.home.log("gateway"))),
        ("Proof", "llm-gateway verify"),
    ]
    rows += [
        (BY_ID[id_].title, f"{placement.reason} {placement.next}")
        for id_, placement in stack.placements.items()
        if placement.where == "unavailable"
    ]
    lines = [f"{title:<9} {value}" for title, value in rows]
    model = first_chat_model(stack)
    if model:
        lines += ["", "Try it:", "", curl_line(stack, model)]
    return "\n".join(lines)


def started(stack: Stack, *, reports: list[Report], seconds: float) -> Result:
    """The result of a start that brought the stack up."""
    objects = [{"kind": report.kind, "id": report.id, "outcome": report.outcome} for report in reports]
    value = {**data(stack), "already_running": False, "seconds": round(seconds, 2), "seeded": objects}
    head = f"Ready in {seconds:.1f} s."
    return Result("start", value, f"{head}\n\n{text(stack)}", warnings=stack.warnings, told=True)


def already_running(stack: Stack, *, warnings: tuple[str, ...]) -> Result:
    """The result of a start that found the stack up."""
    value = {**data(stack), "already_running": True, "seconds": 0.0, "seeded": []}
    return Result("start", value, f"Already running with these choices.\n\n{text(stack)}", warnings=warnings)
