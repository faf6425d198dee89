"""The small process that owns the socket: it starts, watches and replaces the others, and never serves.

One thread, one selector. It imports nothing heavy, so that it cannot fail for the reasons its workers may.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.gateway import failures
from llm_gateway.gateway.control import Answers
from llm_gateway.gateway.generation import STOP_MARGIN, Generation
from llm_gateway.gateway.messages import say
from llm_gateway.gateway.preload import Launch, Preload
from llm_gateway.gateway.processes import LINUX, adopt_orphans
from llm_gateway.gateway.reload import Reload, read_order
from llm_gateway.gateway.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.errors import GatewayError
    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import LauncherOptions

_TICK = 0.5
_RELEASE_TICK = 0.02
MOST_RETIRED = 6  # generations with open streams (about 100 MB a worker); an older one is stopped


class Supervisor:
    """Runs the gateway until a signal.

    Args:
        options: the command line.
        listener: the listening socket; never accepted from here.
        control: the listening control socket.
        caller: the environment of this process, which a spec file completes.
        environment: of the nursery and the workers.
    """

    def __init__(
        self,
        options: LauncherOptions,
        listener: socket.socket,
        control: socket.socket,
        *,
        caller: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self._options = options
        self._listener = listener
        self._address = _spelled(listener)
        self._control = control
        self._caller = caller
        self._watch = Watch()
        self._failure: GatewayError | None = None
        self._stopping: float | None = None
        self._told = False
        self._free = False
        self._spec = options.spec
        self._reload: Reload | None = None
        self._reloads = 0
        self._retired: list[Generation] = []
        preload = Preload(Launch.here(environment, listener), self._watch, wanted=options.preload and LINUX)
        self._generation = Generation(options, preload, self._watch)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT.

        Raises:
            GatewayError: E510 the first worker fails again and again, E511 LiteLLM cannot be imported.
            DeadlineError: E512 no worker became ready in time.
        """
        adopt_orphans()
        self._catch_signals()
        Answers(self._control, self._watch, {"status": self.status, "reload": self.reload})
        if not self._generation.preload.wanted:
            say(f"each worker imports LiteLLM itself ({'--no-preload' if LINUX else 'not Linux'})")
        try:
            while not self._finished():
                self._fill()
                self._advance()
                self._watch.wait(self._pause())
        finally:
            self._clean_up()
        if self._failure:
            raise self._failure
        return 0

    @property
    def _generations(self) -> list[Generation]:
        """All there are: the serving one, what it replaces or is replaced by, and those that drain."""
        beside = [self._reload.new, self._reload.old] if self._reload and self._reload.under_way else []
        return list(dict.fromkeys(one for one in (self._generation, *beside, *self._retired) if one))

    # -- the loop -------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start what is missing and may be started now."""
        if self._stopping is not None:
            return
        for generation in self._generations:
            if not generation.retired:
                generation.preload.start()
                if self._released():
                    generation.fill()

    def _released(self) -> bool:
        """May workers start? The kit imports LiteLLM while the database is still being made and migrated."""
        if not self._free:  # asked once only: the disk may be gone later
            self._free = self._options.start_when is None or os.path.exists(self._options.start_when)  # noqa: PTH110
        return self._free

    def _advance(self) -> None:
        """Look at what has a time limit, and take the next step of a reload."""
        if self._stopping is not None:
            if time.monotonic() >= self._stopping:
                self._end_workers(signal.SIGKILL)
            return
        for generation in self._generations:
            generation.check_time()
        self._retired = [one for one in self._retired if one.workers]
        failure = self._generation.failure or self._generation.preload.failure
        if failure and not self._generation.served:
            self._fail(failure)
        elif self._generation.served and not self._told:
            self._told = True
            say(f"LiteLLM {self._generation.preload.version} answers on {self._address}")
        if self._reload:
            self._step(self._reload)

    def _pause(self) -> float:
        """Until the next thing that has a time; the tick bounds what was overlooked."""
        if self._generation.preload.can_spawn and not self._released():
            return _RELEASE_TICK
        now = time.monotonic()
        waits = [moment for one in self._generations for moment in (*one.waits, *one.preload.waits)]
        return max(0.005, min([_TICK, *(moment - now for moment in waits if moment > now)]))

    def _finished(self) -> bool:
        return self._stopping is not None and not any(one.workers for one in self._generations)

    def _clean_up(self) -> None:
        self._end_workers(signal.SIGKILL)
        self._options.control.unlink(missing_ok=True)
        signal.set_wakeup_fd(-1)

    # -- reload ---------------------------------------------------------------------------------------------

    def reload(self, request: Message) -> Message:
        """What `{"do": "reload", "spec": PATH, "fresh": bool}` answers: `{"reload": number}`; then it goes on.

        A new generation is made from the spec file beside the present one. It shares the importing parent unless
        the interpreter, LiteLLM or the environment changed, or `fresh` is true.

        Raises:
            GatewayError: E513 there is nothing to replace yet, or another reload is under way; E514 the spec wants
                what only a restart can change.
            InputError: E501 and others: what the spec names cannot be read.
        """
        if self._stopping is not None or not self._generation.served or (self._reload and self._reload.under_way):
            raise failures.not_now()
        spec = Path(str(request.get("spec", "")))
        options, launch = read_order(spec, self._options, self._caller, self._listener)
        present = self._generation.preload
        wanted = options.preload and LINUX
        fresh = bool(request.get("fresh")) or launch != present.launch or wanted != (self._options.preload and LINUX)
        preload = Preload(launch, self._watch, wanted=wanted) if fresh else present
        self._reloads += 1
        self._reload = Reload(self._reloads, Generation(options, preload, self._watch), spec, fresh=fresh)
        return {"reload": self._reloads}

    def _step(self, reload: Reload) -> None:
        """Drop a new generation that does not come up; let one that serves take over; let the old one drain."""
        if reload.state == "starting":
            failure = reload.new.failure or reload.new.preload.failure
            if failure and not reload.new.served:
                reload.fail(failure)
                self._retire(reload.new, signal.SIGKILL)
            elif reload.new.served:
                reload.take_over(self._generation, self._spec)
                self._generation, self._options = reload.new, reload.new.options
            elif reload.overdue:
                reload.fail(failures.late(reload.new.options.ready_timeout))
                self._retire(reload.new, signal.SIGKILL)
        if reload.state == "serving" and reload.old and reload.may_retire():
            self._retire(reload.old, signal.SIGUSR1)
            reload.close()
        if reload.state == "closing" and reload.old and (reload.old.closed or reload.closing_overdue):
            reload.done()
            say(f"reload {reload.number} took {reload.seconds:.2f} s")

    def _retire(self, generation: Generation, number: signal.Signals) -> None:
        generation.retire(number)
        if generation.preload is not self._generation.preload:
            generation.preload.stop()
        self._retired.append(generation)
        for surplus in self._retired[:-MOST_RETIRED]:
            surplus.retire(signal.SIGTERM)

    # -- signals --------------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.settimeout(0)
        self._wakeup = (ours, theirs)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)
        self._watch.add(ours, self._take_signals)

    def _take_signals(self) -> None:
        numbers = set(self._wakeup[0].recv(4096))
        if signal.SIGCHLD in numbers:
            self._reap()
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            if self._stopping is None:
                self._stop()
            else:
                self._end_workers(signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            any(generation.reap(pid, status) for generation in self._generations)

    def _stop(self) -> None:
        self._stopping = time.monotonic() + self._options.graceful_timeout + STOP_MARGIN
        self._listener.close()
        self._end_workers(signal.SIGTERM)

    def _fail(self, error: GatewayError) -> None:
        if self._failure is None:
            self._failure = error
            self._stop()

    def _end_workers(self, number: signal.Signals) -> None:
        for generation in self._generations:
            generation.retire(number)
            generation.preload.stop()

    def status(self, _request: Message) -> Message:
        """What `{"do": "status"}` answers."""
        generation = self._generation
        return {
            "pid": os.getpid(),
            "nursery": generation.preload.pid,
            "workers": [
                {
                    "pid": slot.worker.pid if slot.worker else None,
                    "state": slot.worker.state if slot.worker else "waiting",
                    "since": slot.worker.since if slot.worker else None,
                    "restarts": slot.restarts,
                }
                for slot in generation.slots
            ],
            "draining": [worker.pid for one in self._retired for worker in one.workers],
            "preload": generation.preload.wanted,
            "config": str(generation.options.config),
            "address": self._address,
            "version": generation.preload.version,
            "reload": self._reload.as_dict() if self._reload else None,
        }


def _spelled(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
