"""The native engine: services as supervised processes of this machine, started side by side and probed."""

from __future__ import annotations

import contextlib
import re
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import TYPE_CHECKING

import psutil

from llm_gateway import credentials
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.errors import DeadlineError, GatewayError
from llm_gateway.probes import Deadline, wait
from llm_gateway.services.base import Run, Service, Stack
from llm_gateway.services.registry import SERVICES
from llm_gateway.specs import write_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_gateway.progress import Progress
    from llm_gateway.services.base import Process

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_EXTERNAL = 15.0  # seconds; a server that is restarting answers within this
_TAIL = 12  # log lines that a failed start shows


class Interrupted(Exception):  # noqa: N818 - a request, not a failure
    """SIGINT or SIGTERM arrived."""


class NativeEngine:
    """Starts, stops and watches the services of a stack that are placed `native`.

    Args:
        stack: the plan.
        progress: where to show what happens.
    """

    def __init__(self, stack: Stack, progress: Progress) -> None:
        self.stack = stack
        self._progress = progress
        self.supervisor = Supervisor(stack.home)
        self._ready = {service.id: threading.Event() for service in SERVICES}
        self._called_off = threading.Event()

    def start(self, deadline: Deadline, *, interrupted: threading.Event) -> None:
        """Bring every service up; on any failure stop all of them.

        Args:
            deadline: for all of it.
            interrupted: set by a signal handler; ends the start.

        Raises:
            GatewayError: what the first failing service met, with its last log lines.
            Interrupted: `interrupted` was set.
        """
        active = [service for service in SERVICES if self.stack.runs(service.id)]
        for service in SERVICES:
            if service not in active:
                self._ready[service.id].set()
        try:
            if not self.supervisor.alive():
                self.supervisor.spawn(self._processes(active))
            with ThreadPoolExecutor(max_workers=len(active)) as pool:
                futures = [pool.submit(self._bring_up, service, deadline) for service in active]
                self._await(futures, interrupted)
        except BaseException:
            self.stop()
            raise

    def _await(self, futures: Sequence[Future[None]], interrupted: threading.Event) -> None:
        pending: set[Future[None]] = set(futures)
        failure: BaseException | None = None
        while pending:
            done, pending = wait_for(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
            for future in done:
                error = future.exception()
                if error and not isinstance(error, Interrupted):
                    failure = failure or error
            if (failure or interrupted.is_set()) and not self._called_off.is_set():
                self._called_off.set()
                for event in self._ready.values():
                    event.set()
                _end_children(except_for=self.supervisor)
        if interrupted.is_set():
            raise Interrupted
        if failure:
            raise failure

    def _bring_up(self, service: Service, deadline: Deadline) -> None:
        with self._progress.step(service.title) as step:
            run = Run(self.stack, self.stack.values, deadline, self._progress, step)
            native = self.stack.placements[service.id].where == "native"
            service.prepare(run)
            processes = service.processes(self.stack) if native else ()
            if service.start_early:
                self._start(processes)
            self._await_needs(service, deadline)
            service.settle(run)
            self._start(processes)
            step.detail("waiting until it is ready")
            self._probe(service, processes, deadline)
            service.after_ready(run)
            step.detail("ready")
        self._ready[service.id].set()

    def _start(self, processes: Sequence[Process]) -> None:
        for process in processes:
            if self._called_off.is_set():
                raise Interrupted
            write_spec(self.stack.home.spec(process.name), process, env_file=self.stack.home.env_file)
            self.supervisor.start(process.name)

    def _await_needs(self, service: Service, deadline: Deadline) -> None:
        for need in service.needs:
            if not self._ready[need].wait(deadline.left):
                raise DeadlineError(
                    "E312",
                    f"{service.title} waited for {need}, which did not become ready.",
                    cause="The start's time limit passed.",
                    next=f"llm-gateway logs {need}; llm-gateway start --timeout 600",
                )
        if self._called_off.is_set():
            raise Interrupted

    def _probe(self, service: Service, processes: Sequence[Process], deadline: Deadline) -> None:
        if service.probe is None:
            return
        external = self.stack.placements[service.id].where == "external"
        if external:
            # Nobody is starting it: what does not answer soon was named wrongly, or is down.
            deadline = Deadline(min(_EXTERNAL, deadline.left))
        begun: dict[str, set[int]] = {process.name: set() for process in processes}
        reason = wait(
            service.probe(self.stack),
            deadline,
            alive=lambda: self._given_up(processes, begun),
            cancelled=self._called_off,
        )
        if self._called_off.is_set():
            raise Interrupted
        if reason and external:
            raise GatewayError(
                "E323",
                f"{service.title} does not answer: {reason}.",
                cause=self.stack.placements[service.id].reason,
                next=f"Start that server, or mend the line in {self.stack.home.env_link}",
            )
        if reason:
            error = DeadlineError if deadline.passed else GatewayError
            raise error(
                "E313",
                f"{service.title} did not become ready: {reason}.",
                cause=self._cause(service),
                next=f"llm-gateway logs {service.id}",
            )

    def _given_up(self, processes: Sequence[Process], begun: Mapping[str, set[int]]) -> str:
        """Why waiting makes no sense. supervisord restarts what ends, so the ends are counted by the beginnings."""
        states = self.supervisor.states()
        if processes and not states:
            return "the process supervisor is gone"
        for process in processes:
            state = states.get(process.name, {})
            if state.get("start"):
                begun[process.name].add(state["start"])
            ended = len(begun[process.name]) - (state.get("statename") in {"STARTING", "RUNNING"})
            if ended >= process.attempts or state.get("statename") == "FATAL":
                return f"its process ended{f' {ended} times' if ended > 1 else ''}"
        return ""

    def _cause(self, service: Service) -> str:
        lines = tail(self.stack, service.id, _TAIL)
        return "Its log ends with:\n" + "\n".join(lines) if lines else "It wrote no log."

    def _processes(self, services: Sequence[Service]) -> list[Process]:
        return [
            process
            for service in services
            if self.stack.placements[service.id].where == "native"
            for process in service.processes(self.stack)
        ]

    def stop(self) -> None:
        """Stop everything; the gateway first, because it writes its last spend rows into the database."""
        self.supervisor.shutdown(first=("gateway",))


def tail(stack: Stack, service: str, count: int) -> list[str]:
    """The last lines of a service's log, without this home's secrets, colours and empty lines."""
    try:
        text = stack.home.log(service).read_text(encoding="utf-8", errors="replace")[-200_000:]
    except OSError:
        return []
    lines = [line for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    secret_names = ("KEY", "PASSWORD", "SECRET", "URL")
    secrets = {name: value for name, value in stack.values.items() if name.endswith(secret_names)}
    return [credentials.redact(line, secrets) for line in lines[-count:]]


def _end_children(*, except_for: Supervisor) -> None:
    """End the installers and initdb's of a start that is called off."""
    keep = except_for.pid
    for child in psutil.Process().children():
        if child.pid == keep:
            continue
        with contextlib.suppress(psutil.Error):
            for process in [*child.children(recursive=True), child]:
                process.terminate()
