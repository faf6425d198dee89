"""A reload: a second generation beside the first, from the order to the last worker of the old one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_gateway.gateway import failures
from llm_gateway.gateway.environment import launch_environment
from llm_gateway.gateway.messages import one_line, say
from llm_gateway.gateway.options import parse
from llm_gateway.gateway.preload import Launch
from llm_gateway.specs import read_spec

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from pathlib import Path

    from llm_gateway.errors import GatewayError, Problem
    from llm_gateway.gateway.generation import Generation
    from llm_gateway.gateway.messages import Message
    from llm_gateway.gateway.options import LauncherOptions

_ATTEMPTS = 3
_CLOSING_SECONDS = 5.0
_PROGRAM = 3  # words of a spec's argv before the launcher's own arguments: PYTHON -m MODULE


@dataclass(slots=True)
class Reload:
    """One reload.

    Attributes:
        number: counts from 1.
        new: what is to take over.
        spec: the file that it was made from.
        fresh: it has an importing parent of its own.
        old: what it replaces, from the moment it serves.
        state: `starting` (the old one serves), `serving` (both do), `closing` (the old one is told to drain), then
            `done` (the old one takes no connection any more) or `failed` (the new one is gone, the old one serves).
        problem: why it failed.
    """

    number: int
    new: Generation
    spec: Path
    fresh: bool
    old: Generation | None = None
    state: str = "starting"
    problem: Problem | None = None
    seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _served: float = 0.0
    _told: float = 0.0

    @property
    def under_way(self) -> bool:
        return self.state in {"starting", "serving", "closing"}

    def fail(self, error: GatewayError) -> None:
        """The new generation does not come up."""
        self.state, self.problem = "failed", error.problem
        self.seconds = time.monotonic() - self._began
        say(f"reload {self.number} failed, the old workers go on: {error.problem.message}")

    @property
    def overdue(self) -> bool:
        """Has the new generation had all the time for its attempts? Each has a limit of its own; this is the last."""
        return time.monotonic() - self._began > _ATTEMPTS * self.new.options.ready_timeout

    @property
    def closing_overdue(self) -> bool:
        """A worker whose loop hangs never says that it has left the socket."""
        return time.monotonic() - self._told > _CLOSING_SECONDS

    def take_over(self, old: Generation, spec: Path | None) -> None:
        """The new generation serves; nothing of the old one is replaced any more.

        Its spec becomes the one that a launcher after a crash starts with, whatever becomes of the verb that asked.
        """
        self.state, self.old, self._served = "serving", old, time.monotonic()
        old.retired = True
        if spec:
            try:
                self.spec.replace(spec)
            except OSError as error:
                say(f"warning: after a crash the old config would start: {one_line(error)}")

    def close(self) -> None:
        """The old workers are told to drain."""
        self.state, self._told = "closing", time.monotonic()

    def may_retire(self) -> bool:
        """Can the old workers go? When all of the new ones are ready, or have had the time for it."""
        return self.new.complete or time.monotonic() - self._served > self.new.options.ready_timeout

    def done(self) -> None:
        self.state = "done"
        self.seconds = time.monotonic() - self._began

    def as_dict(self) -> Message:
        return {
            "number": self.number,
            "state": self.state,
            "fresh": self.fresh,
            "seconds": round(self.seconds, 3),
            "problem": self.problem.as_dict() if self.problem else None,
        }


def read_order(
    spec_file: Path, present: LauncherOptions, caller: Mapping[str, str], listener: socket.socket
) -> tuple[LauncherOptions, Launch]:
    """What a spec file asks for.

    Args:
        spec_file: written by the kit, see `specs`.
        present: what runs; the address, the port and the control socket stay.
        caller: the environment that this process was started with.
        listener: the living socket.

    Raises:
        GatewayError: E514, it wants another address, port or control socket, or it is no spec.
        InputError: what it names cannot be read.
    """
    try:
        spec = read_spec(spec_file)
    except (OSError, ValueError, TypeError) as error:
        raise failures.cannot_reload(f"{spec_file} is no spec ({error})") from None
    options = parse(spec.argv[_PROGRAM:])
    fixed = ("host", "port", "control")
    changed = [name for name in fixed if getattr(options, name) != getattr(present, name)]
    if changed:
        raise failures.cannot_reload(f"another {' and '.join(changed)}")
    environment = launch_environment(spec.variables(caller), options, empty=False)
    return options, Launch.here(environment, listener, python=spec.argv[0])
