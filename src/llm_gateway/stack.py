"""plan(): options, settings, environment and findings become a Stack. Pure: it touches nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llm_gateway import credentials
from llm_gateway.discovery import free_port
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.gateway.environment import workers_default
from llm_gateway.services.base import Draft, Placement, Service, Stack
from llm_gateway.services.registry import SERVICES
from llm_gateway.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from llm_gateway.choices import Choices
    from llm_gateway.discovery import Findings
    from llm_gateway.dotenv import Environment
    from llm_gateway.paths import Home

# The option that asks for a service; the others come with the gateway.
_ASKED_BY = {
    "redis": "enableRedis",
    "langfuse": "enableLangfuse",
    "presidio": "enablePresidio",
    "lago": "enableLago",
    "prometheus": "enablePrometheus",
    "local_model": "localModel",
}


def plan(
    *,
    home: Home,
    choices: Choices,
    environment: Environment,
    findings: Findings,
    config: Path,
    secrets: Mapping[str, str],
    rendered: Callable[[str], bool],
    services: tuple[Service, ...] = SERVICES,
) -> Stack:
    """Decide what runs where.

    Args:
        home: the home.
        choices: options and settings with their sources.
        environment: process variables and `.env`.
        findings: what the machine looks like.
        config: absolute path of the person's model config.
        secrets: a drawn value for every secret that the environment does not have.
        rendered: did the kit itself write this variable's present value (or is it not set at all)?
        services: the rooms.

    Raises:
        PreconditionError: E301 a port is taken, E302 a service that was asked for cannot run here.
        InputError: E107 the engine cannot be had, E108 a known credential on an address others can reach.
    """
    engine, reason = _engine(choices)
    draft = Draft(home, choices, environment, findings, secrets=secrets, rendered=rendered)
    placements, warnings = _placements(draft, services)
    draft = replace(draft, placements=placements)
    draft = replace(draft, ports=_ports(draft, services))
    lines = {service.id: service.environment(draft) for service in services}
    stack = Stack(
        home=home,
        choices=choices,
        environment=environment,
        findings=findings,
        engine=engine,
        engine_reason=reason,
        config=config,
        placements=placements,
        ports=draft.ports,
        lines=lines,
        public_url=choices.text("publicUrl").rstrip("/") or f"http://localhost:{draft.ports['gatewayPort']}",
        workers=choices.number("workers") or workers_default(findings.cores, findings.memory),
        warnings=tuple(warnings),
    )
    _refuse_known_credentials(stack)
    return stack


def _engine(choices: Choices) -> tuple[str, str]:
    if choices.text("engine") == "docker":
        raise InputError(
            "E107",
            "This version has no Docker engine yet.",
            cause="Services run as processes of this machine.",
            next="llm-gateway start --engine native",
        )
    if choices.asked("engine"):
        return "native", f"chosen by {choices.source('engine')}"
    return "native", "this version runs services as processes of this machine"


def _placements(draft: Draft, services: tuple[Service, ...]) -> tuple[dict[str, Placement], list[str]]:
    placements: dict[str, Placement] = {}
    warnings = []
    for service in services:
        # A room sees the placements of those before it (the gateway depends on PostgreSQL's).
        placement = service.place(replace(draft, placements=placements))
        placements[service.id] = placement
        if placement.where != "unavailable":
            continue
        option = _ASKED_BY.get(service.id)
        if option is None or draft.choices.asked(option):
            raise PreconditionError(
                "E302",
                f"{service.title} cannot run here.",
                cause=placement.reason,
                next=placement.next,
            )
        warnings.append(f"{service.title} is unavailable: {placement.reason} {placement.next}")
    return placements, warnings


def _ports(draft: Draft, services: tuple[Service, ...]) -> dict[str, int]:
    ports: dict[str, int] = {}
    for service in services:
        native = draft.placements[service.id].where == "native"
        for port in service.ports:
            wanted = draft.choices.number(port.setting)
            holder = draft.findings.holders.get(wanted) if native else None
            clash = native and wanted in ports.values()
            if (holder or clash) and draft.choices.flag("autoPorts"):
                wanted = free_port(ports.values(), wanted + 1)
            elif holder or clash:
                who = str(holder) if holder else "another service of this gateway"
                variable = next(c for c in draft.choices.catalogue if c.id == port.setting)
                raise PreconditionError(
                    "E301",
                    f"Port {wanted} for {port.purpose} is taken by {who}.",
                    cause="Something else listens there, maybe another gateway of yours.",
                    next=f"llm-gateway start --auto-ports, or {variable.flag} PORT, or stop that process",
                )
            ports[port.setting] = wanted
    return ports


def _refuse_known_credentials(stack: Stack) -> None:
    bind = stack.choices.text("bind")
    if is_loopback(bind):
        return
    known = [
        line.name
        for lines in stack.lines.values()
        for line in lines
        if stack.values.get(line.name) in credentials.PUBLICLY_KNOWN
    ]
    if known:
        raise InputError(
            "E108",
            f"{', '.join(sorted(known))} is publicly known, and {bind} can be reached by others.",
            cause="Default credentials are for loopback only.",
            next="Remove the line from .env (a new value is generated), or: --bind 127.0.0.1",
        )
