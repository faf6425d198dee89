"""Programs that the installation starts: bounded, cancellable, with their last words for the error text."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_gateway.probes import wait

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from llm_gateway.probes import Deadline

_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_KEPT = 4000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. `code` is None when it was stopped at the deadline."""

    code: int | None
    output: str

    @property
    def last_line(self) -> str:
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1] if lines else "(no output)"


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    deadline: Deadline,
    cancelled: threading.Event,
) -> Outcome:
    """Run `command` until it ends, the deadline passes or `cancelled` is set.

    The program gets a process group of its own, and none of it survives this call. Its output is returned
    without the credentials of URLs.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            wait(
                lambda: "" if process.poll() is not None else f"{command[0]} is running",
                deadline,
                cancelled=cancelled,
            )
        finally:
            code = process.poll()
            if code is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(max(0, log.tell() - _KEPT))
        text = log.read().decode(errors="replace")
    return Outcome(code, _CREDENTIALS.sub("://***@", text))
