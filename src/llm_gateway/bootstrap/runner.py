"""Run an installer: everything it says goes to a log without credentials, and it ends within its limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_gateway.bootstrap.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_KEPT_LINES = 400
_GRACE = 3.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `output` is redacted and holds its last lines."""

    code: int
    output: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.timed_out


@dataclass(frozen=True, slots=True)
class Runner:
    """Where commands log, and what they must not outlive.

    Args:
        log: appended to, mode 0600.
        deadline: `time.monotonic()` at which a running command is ended.
        secrets: literal texts that are hidden wherever they appear.
        keep_open: descriptors the commands inherit. A lock among them stays held while an installer still
            runs whose parent was killed, so that the next run waits instead of writing into the same files.
    """

    log: Path
    deadline: float
    secrets: tuple[str, ...] = ()
    keep_open: tuple[int, ...] = ()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> Outcome:
        """Run `command` to its end; `tell` gets each line as it comes."""
        words = [str(word) for word in command]
        lines: list[str] = []
        with self._open_log() as log:
            log.write(f"\n$ {redact(' '.join(words), self.secrets)}\n".encode())
            process = subprocess.Popen(
                words,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.keep_open,
            )
            expired = threading.Event()
            timer = threading.Timer(max(0.0, self.deadline - time.monotonic()), self._expire, (process, expired))
            timer.daemon = True
            timer.start()
            try:
                assert process.stdout is not None  # noqa: S101 - PIPE was asked for
                for raw in process.stdout:
                    line = redact(raw.decode("utf-8", "replace").rstrip(), self.secrets)
                    log.write(f"{line}\n".encode())
                    lines = [*lines[-_KEPT_LINES:], line]
                    tell(line)
                code = process.wait()
            finally:
                timer.cancel()
                _end(process)
        return Outcome(code, "\n".join(lines), timed_out=expired.is_set())

    def _open_log(self) -> contextlib.closing[_Log]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        return contextlib.closing(_Log(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)))

    @staticmethod
    def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
        expired.set()
        _end(process)


class _Log:
    """An append-only file that a full disk cannot turn into a second error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started; nothing when it is gone already."""
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
