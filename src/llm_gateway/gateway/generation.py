"""One generation of the gateway: one configuration and the workers that run it.

The supervisor keeps one generation. A reload is a second one beside it: when its first worker is ready it takes
over, and when all of its workers are, the first one's drain.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.gateway import failures, samples
from llm_gateway.gateway.messages import Lines, one_line, read_available, say
from llm_gateway.gateway.preload import FIRST_ATTEMPTS, Backoff, due
from llm_gateway.gateway.processes import describe_exit, signal_group

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from llm_gateway.errors import GatewayError
    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import LauncherOptions
    from llm_gateway.gateway.preload import Preload
    from llm_gateway.gateway.watch import Watch

STOP_MARGIN = 3.0  # after a time-out: the app's own shutdown (spend logs are written there)
# A retired worker goes from `ready` to `draining` by itself; a stopped one is told.
_ENDING = {"draining", "stopping"}


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
        """Signal the worker alone, with all it started for SIGKILL: it stops its query engine itself."""
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


class Generation:
    """One configuration and its workers, kept alive until it is retired.

    Args:
        options: the command line that it was made from.
        preload: how its workers are made; shared with the generation before it when nothing needs a new one.
        watch: where to listen to the workers.

    Attributes:
        served: one of its workers was ready once.
        failure: why it never was; set once, then nothing is started any more.
        retired: it is being replaced or stopped: nothing is started any more.
    """

    def __init__(self, options: LauncherOptions, preload: Preload, watch: Watch) -> None:
        self.options = options
        self.preload = preload
        self.slots = [Slot() for _ in range(options.workers)]
        self.served = False
        self.failure: GatewayError | None = None
        self.retired = False
        self._settings = options.worker_settings
        self._announced = False
        self._watch = watch
        self._told: signal.Signals | None = None
        self._patience = math.inf

    @property
    def workers(self) -> list[Worker]:
        return [slot.worker for slot in self.slots if slot.worker]

    @property
    def complete(self) -> bool:
        """Are all workers ready?"""
        return all(slot.worker and slot.worker.state == "ready" for slot in self.slots)

    @property
    def closed(self) -> bool:
        """Does no worker accept connections any more?"""
        return all(worker.state in _ENDING for worker in self.workers)

    @property
    def waits(self) -> Iterable[float]:
        """When a dead worker may be replaced; moments of the monotonic clock."""
        return [] if self._over else [slot.backoff.not_before for slot in self.slots if slot.worker is None]

    @property
    def _over(self) -> bool:
        return self.retired or self.failure is not None

    # -- starting -------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Start what is missing and may be started now. The first worker goes ahead: what breaks it, breaks all."""
        if self._over or not self.preload.can_spawn:
            return
        for slot in self.slots if self.served else self.slots[:1]:
            if slot.worker is None and due(slot.backoff.not_before):
                self._spawn(slot)

    def _spawn(self, slot: Slot) -> None:
        try:
            ours, theirs = os.pipe()
        except OSError as error:
            self._died(slot, 0.0, one_line(error))
            return
        os.set_blocking(ours, False)
        try:
            process = self.preload.spawn(theirs, self._settings, announce=not self._announced)
        except OSError as error:
            os.close(ours)
            if not self.preload.wanted:  # else the nursery has just ended, which is noticed by itself
                self._died(slot, 0.0, one_line(error))
            return
        finally:
            os.close(theirs)
        self._announced = True
        worker = Worker(ours, pid=process.pid if process else None, process=process)
        slot.worker = worker
        self._watch.add(ours, lambda: self._hear(slot, worker))

    def check_time(self) -> None:
        """End what is not ready in time, and what does not end in time."""
        now, limit = time.monotonic(), self.options.ready_timeout
        if now > self._patience:
            self.retire(signal.SIGTERM if self._told == signal.SIGUSR1 else signal.SIGKILL)
        if self.preload.late(now, limit):
            if self.served:
                self.preload.lose("it was not ready in time")
            elif not self._over:
                self.failure = failures.late(limit)
        for worker in self.workers:
            if worker.state == "starting" and now - worker.started > limit:
                worker.reason = f"it was not ready within {limit:.0f} s"
                if not self.served and not self._over:
                    self.failure = failures.late(limit)
                if worker.pid is None:
                    self.preload.lose("it does not answer")
                worker.signal(signal.SIGKILL)

    # -- listening to the workers ---------------------------------------------------------------------------

    def _hear(self, slot: Slot, worker: Worker) -> None:
        if not self._read(worker) and worker.pid is None:
            self._lose(slot, worker, "it ended before it began")

    def _read(self, worker: Worker) -> bool:
        """Take what a worker has written; False after its last word."""
        chunk = read_available(worker.pipe)
        if chunk is None:
            return True
        for message in worker.lines.feed(chunk):
            self._note(worker, message)
        if chunk == b"":
            self._forget_pipe(worker)
        return chunk != b""

    def _forget_pipe(self, worker: Worker) -> None:
        self._watch.remove(worker.pipe)
        os.close(worker.pipe)
        worker.pipe = -1

    def _note(self, worker: Worker, message: Message) -> None:
        worker.pid = message.get("pid", worker.pid)
        worker.reason = message.get("reason", worker.reason)
        state = message.get("state")
        if state == "draining":
            worker.become("draining")
        elif self.retired:
            self._tell(worker, signal.SIGTERM)  # it was not even born when the others were told
        elif state == "ready":
            worker.become("ready")
            self.served = self.preload.proven = True

    def reap(self, pid: int, status: int) -> bool:
        """Note the end of a process, if it was one of the workers."""
        for slot in self.slots:
            if slot.worker and slot.worker.pid == pid:
                slot.worker.ended(status)
                self._lose(slot, slot.worker, describe_exit(status))
                return True
        return False

    def _lose(self, slot: Slot, worker: Worker, how: str) -> None:
        slot.worker = None
        ready = worker.state != "starting"
        if worker.pipe >= 0:
            self._read(worker)
        if worker.pipe >= 0:
            self._forget_pipe(worker)
        if worker.pid:
            signal_group(worker.pid, signal.SIGKILL)  # what it started: its query engine
            self._forget_samples()
        if not self._over:
            self._died(slot, time.monotonic() - worker.started if ready else 0.0, worker.reason or how)

    def _died(self, slot: Slot, served: float, reason: str) -> None:
        """Note the end of a worker, or that it never was; `served` seconds of service."""
        slot.restarts += 1
        slot.backoff.died(served)
        if self.served:
            number = self.slots.index(slot) + 1
            say(f"worker {number} {'' if served else 'failed to start: '}{reason}; replacing it")
        elif slot.backoff.deaths >= FIRST_ATTEMPTS:
            self.failure = failures.does_not_start(reason)
        else:
            say(f"start {slot.backoff.deaths} of {FIRST_ATTEMPTS} failed: {reason}")

    def _forget_samples(self) -> None:
        """Drop the live gauges of dead workers; their counters stay."""
        directory = self.preload.launch.environment.get(samples.VARIABLE)
        if directory:
            samples.forget_dead(Path(directory))

    # -- ending ---------------------------------------------------------------------------------------------

    def retire(self, number: signal.Signals) -> None:
        """Start nothing any more; SIGUSR1 lets the workers drain, SIGTERM stop soon, SIGKILL ends them."""
        self.retired = True
        if number == self._told and number != signal.SIGKILL:
            return  # a second SIGTERM would cut
        if number != self._told:
            limits = {signal.SIGUSR1: self.options.drain_timeout, signal.SIGTERM: self.options.graceful_timeout}
            self._told, self._patience = number, time.monotonic() + limits.get(number, 0.0) + STOP_MARGIN
        for worker in self.workers:
            self._tell(worker, number)

    def _tell(self, worker: Worker, number: signal.Signals) -> None:
        if number != signal.SIGUSR1 and worker.state != "stopping":
            worker.become("stopping")
        worker.signal(number)
