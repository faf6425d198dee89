"""status and logs: what runs, and what it said."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from llm_gateway.engines.native import tail
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.errors import InputError
from llm_gateway.results import Result
from llm_gateway.services.registry import BY_ID, SERVICES
from llm_gateway.verbs.context import planned_stack, running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from llm_gateway.services.base import Service, Stack
    from llm_gateway.verbs.context import Context


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service now. `state`: ready, starting, unhealthy, stopped, external, unavailable or off."""

    service: str
    state: str
    where: str
    port: int
    pid: int
    uptime: int
    detail: str


def status(context: Context) -> Result:
    """The verb. Exit code 1 when something that should run does not."""
    stack = running_stack(context)
    running = stack is not None
    if stack is None:
        stack = planned_stack(context)
    states = service_states(stack, started=running)
    bad = [state for state in states if state.state in {"unhealthy", "stopped", "starting"}]
    rows = [f"{s.service:<12} {s.state:<12} {_place(s):<18} {s.detail}".rstrip() for s in states]
    head = f"Gateway at {stack.public_url}" if running else "Nothing runs in this home. Start it: llm-gateway start"
    data = {"running": running, "url": stack.public_url, "services": [asdict(state) for state in states]}
    return Result("status", data, "\n".join([head, "", *rows]), exit_code=1 if bad or not running else 0)


def _place(state: ServiceState) -> str:
    return f"{state.where} :{state.port}" if state.port and state.where == "native" else state.where


def service_states(stack: Stack, *, started: bool) -> list[ServiceState]:
    """The state of every service; probes run side by side."""
    processes = Supervisor(stack.home).states() if started else {}
    with ThreadPoolExecutor(max_workers=len(SERVICES)) as pool:
        return list(pool.map(lambda service: _state(service, stack, processes, started=started), SERVICES))


def _state(service: Service, stack: Stack, processes: Mapping[str, Any], *, started: bool) -> ServiceState:
    placement = stack.placements[service.id]
    port = stack.ports[service.ports[0].setting] if service.ports else 0
    info = processes.get(service.id, {})
    pid = int(info.get("pid", 0))
    uptime = int(time.time() - info["start"]) if pid else 0
    if not placement.runs:
        detail = f"{placement.reason} {placement.next}".rstrip()
        return ServiceState(service.id, placement.where, placement.where, port, 0, 0, detail)
    if placement.where == "external":
        reason = service.probe(stack)() if service.probe else ""
        state = "unhealthy" if reason else "external"
        return ServiceState(service.id, state, "external", port, 0, 0, reason or placement.reason)
    if not pid:
        detail = "its process does not run" if started else ""
        return ServiceState(service.id, "stopped", placement.where, port, 0, 0, detail)
    reason = service.probe(stack)() if service.probe else ""
    state = "ready" if not reason else "starting" if uptime < 60 else "unhealthy"
    return ServiceState(service.id, state, placement.where, port, pid, uptime, reason)


def logs(context: Context, *, service: str, lines: int) -> Result:
    """The last lines of a service's log, or of every service's.

    Raises:
        InputError: E317, no such service.
    """
    stack = running_stack(context) or planned_stack(context)
    chosen = [service] if service else [item.id for item in SERVICES if stack.home.log(item.id).exists()]
    if service and service not in BY_ID:
        raise InputError(
            "E317",
            f"There is no service {service}.",
            cause=f"Services are: {', '.join(BY_ID)}.",
            next="llm-gateway logs gateway",
        )
    found = {name: tail(stack, name, lines) for name in chosen}
    parts = []
    for name, content in found.items():
        parts += [f"==> {stack.home.log(name)}", *content] if len(found) > 1 else content
    return Result("logs", {"logs": found}, "\n".join(parts))


def follow(context: Context, *, service: str) -> Iterator[str]:
    """New lines of a service's log as they come, for ever."""
    stack = running_stack(context) or planned_stack(context)
    path = stack.home.log(service or "gateway")
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, 2)
        while True:
            line = file.readline()
            if line:
                yield line.rstrip("\n")
                continue
            yield ""
            if not path.exists() or path.stat().st_ino != _inode(file):
                return


def _inode(file: Any) -> int:
    import os  # noqa: PLC0415

    return os.fstat(file.fileno()).st_ino
