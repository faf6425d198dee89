"""One generation of the gateway: one configuration, the nursery that holds it, and its workers.

The supervisor runs one generation. A swap of workers under the living socket is a second one beside it: made,
started, and when one of its workers is ready, the first one retired.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_gateway.gateway.messages import Lines, encode
from llm_gateway.gateway.processes import signal_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import WorkerSettings

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_STABLE_SECONDS = 30.0


@dataclass(slots=True)
class Backoff:
    """When may something that keeps dying be started again? At once after the first death, then ever later."""

    deaths: int = 0
    not_before: float = 0.0

    def died(self, lived: float) -> None:
        """Note a death after `lived` seconds of service."""
        self.deaths = 1 if lived >= _STABLE_SECONDS else self.deaths + 1
        pause = 0.0 if self.deaths == 1 else min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (self.deaths - 2))
        self.not_before = time.monotonic() + pause


@dataclass(slots=True)
class Worker:
    """The supervisor's view of one worker process."""

    pipe: int
    pid: int | None = None
    process: subprocess.Popen[bytes] | None = None  # of the cold path; kept, so that only the supervisor reaps
    state: str = "starting"
    reason: str = ""
    since: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)
    lines: Lines = field(default_factory=Lines)

    def become(self, state: str) -> None:
        self.state, self.since = state, time.time()

    def ended(self, status: int) -> None:
        """Note the end that the supervisor has waited for."""
        if self.process:
            self.process.returncode = os.waitstatus_to_exitcode(status)

    def signal(self, number: signal.Signals) -> None:
        """Signal the worker alone for SIGTERM (it stops its engine itself), with all it started for SIGKILL."""
        if self.pid is None:
            return
        if number == signal.SIGKILL:
            signal_group(self.pid, number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(slots=True)
class Slot:
    """A place for a worker; whoever dies in it is replaced."""

    worker: Worker | None = None
    restarts: int = 0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True)
class Nursery:
    """The supervisor's view of the importing parent."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    ready: bool = False
    started: float = field(default_factory=time.monotonic)

    def receive(self) -> list[Message]:
        """Messages; an empty list at the end of the channel."""
        try:
            return Lines().feed(self.channel.recv(65536))
        except OSError:
            return []

    def fork(self, pipe: int, *, announce: bool) -> None:
        """Ask for a worker that reports on `pipe`. Raises OSError when the nursery is gone."""
        socket.send_fds(self.channel, [encode({"announce": announce})], [pipe])

    def kill(self) -> None:
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)


class Generation:
    """One configuration with its nursery and workers.

    Args:
        settings: for every worker of this generation.
        environment: of its processes.
        listener: the shared listening socket.
        preload: fork workers from a nursery; else every worker imports LiteLLM itself.
    """

    def __init__(
        self, settings: WorkerSettings, environment: Mapping[str, str], listener: socket.socket, *, preload: bool
    ) -> None:
        self.settings = settings
        self.preload = preload
        self.nursery: Nursery | None = None
        self.nursery_backoff = Backoff()
        self.slots = [Slot() for _ in range(settings.workers)]
        self.served = False
        self._announced = False
        self._environment = dict(environment)
        self._listener = listener

    @property
    def workers(self) -> list[Worker]:
        return [slot.worker for slot in self.slots if slot.worker]

    @property
    def can_spawn(self) -> bool:
        return not self.preload or (self.nursery is not None and self.nursery.ready)

    def start_nursery(self) -> Nursery:
        """Start the importing parent; it says on its channel when it can fork."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = self._run("nursery", theirs.fileno(), environment={"OPENBLAS_NUM_THREADS": "1"})
        self.nursery = Nursery(process, ours)
        return self.nursery

    def spawn(self, slot: Slot) -> Worker:
        """Start a worker in a free slot. Raises OSError when the nursery is gone."""
        announce = not self._announced
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        try:
            if self.preload and self.nursery:
                self.nursery.fork(theirs, announce=announce)
                slot.worker = Worker(ours)
            else:
                process = self._run("worker", theirs, "1" if announce else "0")
                slot.worker = Worker(ours, pid=process.pid, process=process)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._announced = True
        return slot.worker

    def _run(
        self, module: str, channel: int, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        listener = self._listener.fileno()
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"llm_gateway.gateway.{module}",
                str(os.getpid()),
                str(listener),
                str(channel),
                *arguments,
                self.settings.as_json(),
            ],
            env={**self._environment, **(environment or {})},
            pass_fds=(listener, channel),
            stdin=subprocess.DEVNULL,
        )
