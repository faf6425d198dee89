"""How workers are made: forked from an importing parent (the nursery), or each by itself.

One `Preload` belongs to one environment. Generations that differ in their config only share it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_gateway.gateway import failures
from llm_gateway.gateway.messages import Lines, encode, one_line, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.errors import GatewayError
    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import WorkerSettings
    from llm_gateway.gateway.watch import Watch

FIRST_ATTEMPTS = 3  # a config that does not load fails each time; a database that is just starting does not
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


def due(moment: float) -> bool:
    return time.monotonic() >= moment


@dataclass(frozen=True)
class Launch:
    """What a process of the gateway is started with. Two that are equal can share an importing parent.

    Attributes:
        python: the interpreter.
        litellm: the installed version.
        environment: its variables.
        listener: the shared listening socket.
    """

    python: str
    litellm: str
    environment: Mapping[str, str]
    listener: socket.socket

    @classmethod
    def here(cls, environment: Mapping[str, str], listener: socket.socket, *, python: str = sys.executable) -> Launch:
        """With the LiteLLM that is installed now, which an upgrade may have changed since this process began."""
        return cls(python, importlib.metadata.version("litellm"), environment, listener)

    def run(
        self, module: str, channel: int, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `llm_gateway.gateway.<module>`, which gets the listener and `channel`."""
        listener = self.listener.fileno()
        return subprocess.Popen(
            [
                self.python,
                "-m",
                f"llm_gateway.gateway.{module}",
                str(os.getpid()),
                str(listener),
                str(channel),
                *arguments,
            ],
            env={**self.environment, **(environment or {})},
            pass_fds=(listener, channel),
            stdin=subprocess.DEVNULL,
        )


@dataclass(slots=True)
class _Nursery:
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

    def kill(self) -> None:
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)


class Preload:
    """Makes workers for one environment, and keeps the importing parent alive for that.

    Args:
        launch: what its processes are started with.
        watch: where to listen to the nursery.
        wanted: fork the workers from a nursery; else every worker imports LiteLLM itself.

    Attributes:
        proven: a worker of it was ready once.
        version: of LiteLLM; the nursery's own word, as soon as it is ready.
        failure: before that the nursery ended again and again.
    """

    def __init__(self, launch: Launch, watch: Watch, *, wanted: bool) -> None:
        self.launch = launch
        self.wanted = wanted
        self.proven = False
        self.version = launch.litellm
        self.failure: GatewayError | None = None
        self._watch = watch
        self._nursery: _Nursery | None = None
        self._backoff = Backoff()

    @property
    def pid(self) -> int | None:
        """The nursery's process id."""
        return self._nursery.process.pid if self._nursery else None

    @property
    def can_spawn(self) -> bool:
        return not self.wanted or (self._nursery is not None and self._nursery.ready)

    @property
    def waits(self) -> list[float]:
        """When a nursery that ended may be replaced; moments of the monotonic clock."""
        return [self._backoff.not_before] if self.wanted and self._nursery is None and not self.failure else []

    def start(self) -> None:
        """Start the importing parent if it is wanted, missing and due; it says on its channel when it can fork."""
        if not self.wanted or self._nursery or self.failure or not due(self._backoff.not_before):
            return
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                process = self.launch.run("nursery", theirs.fileno(), environment={"OPENBLAS_NUM_THREADS": "1"})
        except OSError as error:  # no memory, no descriptor, no such interpreter
            self._died(0.0, one_line(error))
            return
        self._nursery = _Nursery(process, ours)
        self._watch.add(ours, self._hear)

    def late(self, now: float, limit: float) -> bool:
        """Has the nursery been importing for longer than `limit` seconds?"""
        return self._nursery is not None and not self._nursery.ready and now - self._nursery.started > limit

    def spawn(self, pipe: int, settings: WorkerSettings, *, announce: bool) -> subprocess.Popen[bytes] | None:
        """Start a worker that reports on `pipe`: None when the nursery forks it, else its process.

        Raises:
            OSError: the nursery is gone.
        """
        if self.wanted and self._nursery:
            order = encode({"announce": announce, "settings": settings.as_dict()})
            socket.send_fds(self._nursery.channel, [order], [pipe])
            return None
        return self.launch.run("worker", pipe, "1" if announce else "0", settings.as_json())

    def _hear(self) -> None:
        if self._nursery is None:
            return
        messages = self._nursery.receive()
        if not messages:
            self.lose("")
        for message in messages:
            if message["state"] == "ready":
                self._nursery.ready = True
                self.version = str(message["version"])
            elif message["state"] == "refused":
                say(f"{message['reason']}; each worker imports LiteLLM itself now")
                self.wanted = False
                self.lose("")
            else:
                self.lose(str(message["reason"]))

    def lose(self, reason: str) -> None:
        """Forget a nursery that ended. Its workers are not its children; they serve on."""
        nursery = self._nursery
        if nursery is None:
            return
        self.stop()
        if self.wanted:
            self._died(time.monotonic() - nursery.started, reason)

    def _died(self, lived: float, reason: str) -> None:
        self._backoff.died(lived)
        if not self.proven and self._backoff.deaths >= FIRST_ATTEMPTS:
            self.failure = failures.not_importable(reason or "the importing process ended")
            return
        say(f"the importing process ended{': ' + reason if reason else ''}; starting another one")

    def stop(self) -> None:
        """End the nursery."""
        if self._nursery:
            self._watch.remove(self._nursery.channel)
            self._nursery.kill()
            self._nursery = None
