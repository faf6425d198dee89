"""The small process that owns the socket: it starts, watches and replaces the others, and never serves.

One thread, one selector. It imports nothing heavy, so that it cannot fail for the reasons its workers may.
"""

from __future__ import annotations

import importlib.metadata
import os
import selectors
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.gateway import failures
from llm_gateway.gateway.control import Answers
from llm_gateway.gateway.generation import Generation, Slot, Worker
from llm_gateway.gateway.messages import read_available, say
from llm_gateway.gateway.processes import LINUX, adopt_orphans, describe_exit, signal_group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_gateway.errors import GatewayError
    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import LauncherOptions

_FIRST_ATTEMPTS = 3  # a config that does not load fails each time; a database that is just starting does not
_TICK = 0.5
_RELEASE_TICK = 0.02
_STOP_MARGIN = 3.0  # after the graceful time-out: the app's own shutdown (spend logs are written there)


class Supervisor:
    """Runs the gateway until a signal.

    Args:
        options: the command line.
        listener: the listening socket; never accepted from here.
        control: the listening control socket.
        environment: of the nursery and the workers.
    """

    def __init__(
        self,
        options: LauncherOptions,
        listener: socket.socket,
        control: socket.socket,
        environment: Mapping[str, str],
    ) -> None:
        self._options = options
        self._listener = listener
        self._address = _spelled(listener)
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._version = importlib.metadata.version("litellm")
        self._samples = environment.get("PROMETHEUS_MULTIPROC_DIR")
        self._signals: list[int] = []
        self._failure: GatewayError | None = None
        self._stopping: float | None = None
        self._generation = Generation(options.worker_settings, environment, listener, preload=options.preload and LINUX)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT.

        Raises:
            GatewayError: E510 the first worker fails again and again, E511 LiteLLM cannot be imported.
            DeadlineError: E512 no worker became ready in time.
        """
        adopt_orphans()
        self._catch_signals()
        Answers(self._control, self._selector, self.status)
        if not self._generation.preload:
            say(f"each worker imports LiteLLM itself ({'--no-preload' if LINUX else 'not Linux'})")
        try:
            while not self._finished():
                self._fill()
                self._check_time()
                for key, _ in self._selector.select(self._pause()):
                    key.data()
        finally:
            self._clean_up()
        if self._failure:
            raise self._failure
        return 0

    # -- starting -------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start what is missing and may be started now. The first worker goes ahead: what breaks it, breaks all."""
        generation = self._generation
        if self._stopping is not None:
            return
        if generation.preload and generation.nursery is None and _due(generation.nursery_backoff.not_before):
            nursery = generation.start_nursery()
            self._watch(nursery.channel, self._hear_nursery)
        if not generation.can_spawn or not self._released():
            return
        for slot in generation.slots if generation.served else generation.slots[:1]:
            if slot.worker is None and _due(slot.backoff.not_before):
                self._spawn(slot)

    def _released(self) -> bool:
        """May workers start? The kit imports LiteLLM while the database is still being made and migrated."""
        return self._options.start_when is None or self._options.start_when.exists()

    def _spawn(self, slot: Slot) -> None:
        try:
            worker = self._generation.spawn(slot)
        except OSError:
            return  # the nursery has just ended; its end is noticed by itself
        self._watch(worker.pipe, lambda: self._hear_worker(slot, worker))

    def _check_time(self) -> None:
        now = time.monotonic()
        if self._stopping is not None:
            if now >= self._stopping:
                self._signal_workers(signal.SIGKILL)
            return
        for slot in self._generation.slots:
            worker = slot.worker
            if worker and worker.state == "starting" and now - worker.started > self._options.ready_timeout:
                worker.reason = f"it was not ready within {self._options.ready_timeout:.0f} s"
                if not self._generation.served:
                    self._fail(failures.late(self._options.ready_timeout))
                if worker.pid is None:
                    self._lose_nursery("it does not answer")
                worker.signal(signal.SIGKILL)
        generation = self._generation
        nursery = generation.nursery
        if nursery and not nursery.ready and now - nursery.started > self._options.ready_timeout:
            if generation.served:
                self._lose_nursery("it was not ready in time")
            else:
                self._fail(failures.late(self._options.ready_timeout))

    # -- listening to the others ----------------------------------------------------------------------------

    def _hear_nursery(self) -> None:
        nursery = self._generation.nursery
        if nursery is None:
            return
        messages = nursery.receive()
        if not messages:
            self._lose_nursery("")
        for message in messages:
            if message["state"] == "ready":
                nursery.ready = True
            elif message["state"] == "refused":
                say(f"{message['reason']}; each worker imports LiteLLM itself now")
                self._generation.preload = False
                self._lose_nursery("")
            else:
                self._lose_nursery(str(message["reason"]))

    def _lose_nursery(self, reason: str) -> None:
        """Forget a nursery that ended. Its workers are not its children; they serve on."""
        generation, nursery = self._generation, self._generation.nursery
        if nursery is None:
            return
        self._selector.unregister(nursery.channel)
        nursery.kill()
        generation.nursery = None
        if self._stopping is not None or not generation.preload:
            return
        generation.nursery_backoff.died(time.monotonic() - nursery.started)
        if not generation.served and generation.nursery_backoff.deaths >= _FIRST_ATTEMPTS:
            self._fail(failures.not_importable(reason or "the importing process ended"))
            return
        say(f"the importing process ended{': ' + reason if reason else ''}; starting another one")

    def _hear_worker(self, slot: Slot, worker: Worker) -> None:
        if not self._read(worker) and worker.pid is None:
            self._lose_worker(slot, worker, "it ended before it began")

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
        self._selector.unregister(worker.pipe)
        os.close(worker.pipe)
        worker.pipe = -1

    def _note(self, worker: Worker, message: Message) -> None:
        worker.pid = message.get("pid", worker.pid)
        worker.reason = message.get("reason", worker.reason)
        if self._stopping is not None:
            worker.signal(signal.SIGTERM)
        elif message.get("state") == "ready":
            worker.become("ready")
            if not self._generation.served:
                self._generation.served = True
                say(f"LiteLLM {self._version} answers on {self._address}")

    def _lose_worker(self, slot: Slot, worker: Worker, how: str) -> None:
        slot.worker = None
        ready = worker.state == "ready"
        if worker.pipe >= 0:
            self._read(worker)
        if worker.pipe >= 0:
            self._forget_pipe(worker)
        if worker.pid:
            signal_group(worker.pid, signal.SIGKILL)  # what it started: its query engine
            self._forget_samples(worker.pid)
        if self._stopping is not None:
            return
        slot.restarts += 1
        slot.backoff.died(time.monotonic() - worker.started if ready else 0.0)
        number = self._generation.slots.index(slot) + 1
        reason = worker.reason or how
        if self._generation.served:
            say(f"worker {number} {'' if ready else 'failed to start: '}{reason}; replacing it")
        elif slot.backoff.deaths >= _FIRST_ATTEMPTS:
            self._fail(failures.does_not_start(reason))
        else:
            say(f"start {slot.backoff.deaths} of {_FIRST_ATTEMPTS} failed: {reason}")

    def _forget_samples(self, pid: int) -> None:
        """Drop the live gauges of a dead worker, as prometheus_client's mark_process_dead does."""
        if self._samples:
            for file in Path(self._samples).glob(f"gauge_live*_{pid}.db"):
                file.unlink(missing_ok=True)

    # -- signals --------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.settimeout(0)
        self._wakeup = (ours, theirs)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        self._watch(ours, self._take_signals)

    def _take_signals(self) -> None:
        numbers = set(self._wakeup[0].recv(4096))
        if signal.SIGCHLD in numbers:
            self._reap()
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            if self._stopping is None:
                self._stop()
            else:
                self._signal_workers(signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for slot in self._generation.slots:
                if slot.worker and slot.worker.pid == pid:
                    slot.worker.ended(status)
                    self._lose_worker(slot, slot.worker, describe_exit(status))

    def _stop(self) -> None:
        self._stopping = time.monotonic() + self._options.graceful_timeout + _STOP_MARGIN
        self._listener.close()
        self._lose_nursery("")
        self._signal_workers(signal.SIGTERM)

    def _fail(self, error: GatewayError) -> None:
        if self._failure is None:
            self._failure = error
            self._stop()

    def _signal_workers(self, number: signal.Signals) -> None:
        for worker in self._generation.workers:
            if worker.state != "stopping":
                worker.become("stopping")
            worker.signal(number)

    def status(self) -> Message:
        """What `{"do": "status"}` answers."""
        generation = self._generation
        return {
            "pid": os.getpid(),
            "nursery": generation.nursery.process.pid if generation.nursery else None,
            "workers": [
                {
                    "pid": slot.worker.pid if slot.worker else None,
                    "state": slot.worker.state if slot.worker else "waiting",
                    "since": slot.worker.since if slot.worker else None,
                    "restarts": slot.restarts,
                }
                for slot in generation.slots
            ],
            "preload": generation.preload,
            "config": generation.settings.config,
            "address": self._address,
            "version": self._version,
        }

    # -- the loop -------------------------------------------------------------------------------------------

    def _watch(self, source: socket.socket | int, callback: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, callback)

    def _pause(self) -> float:
        """Until the next thing that has a time; the tick bounds what was overlooked."""
        waits = [slot.backoff.not_before for slot in self._generation.slots if slot.worker is None]
        if self._generation.nursery is None:
            waits.append(self._generation.nursery_backoff.not_before)
        now = time.monotonic()
        if self._generation.can_spawn and not self._released():
            return _RELEASE_TICK
        return max(0.005, min([_TICK, *(moment - now for moment in waits if moment > now)]))

    def _finished(self) -> bool:
        return self._stopping is not None and not self._generation.workers

    def _clean_up(self) -> None:
        self._signal_workers(signal.SIGKILL)
        if self._generation.nursery:
            self._generation.nursery.kill()
        self._options.control.unlink(missing_ok=True)
        signal.set_wakeup_fd(-1)


def _due(moment: float) -> bool:
    return time.monotonic() >= moment


def _spelled(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
