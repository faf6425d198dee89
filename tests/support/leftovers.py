"""What a test session left behind: processes, containers, temporary directories."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from llm_gateway.probes import Deadline, wait

# Inherited by everything the tests start, even when it leaves the process tree.
MARK = "LLMGW_TEST_SESSION"
_PATIENCE = 5.0
_OWN = ("inline-snapshot-", "pytest-of-")  # removed by their makers, later than this looks


@dataclass
class Watch:
    """Remembers the state at the start; `left` tells what is new."""

    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    containers: frozenset[str] = frozenset()
    temporary: Path = Path()

    def begin(self) -> None:
        """Give the session a temporary directory of its own; pytest's folders stay where they can be looked at."""
        os.environ[MARK] = self.mark
        self.containers = _containers()
        before = tempfile.gettempdir()
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", before)
        self.temporary = Path(tempfile.mkdtemp(prefix="llmgw-", dir=before))
        self.temporary.chmod(0o1777)  # services of tests run as other users
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.temporary)

    def end(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)

    def left(self) -> list[str]:
        """What is still there after a moment of patience for processes that are ending."""
        wait(lambda: "busy" if self._processes() else "", Deadline(_PATIENCE))
        return [
            *(f"process {process.pid}: {_command(process)}" for process in self._processes()),
            *(f"container {name}" for name in sorted(_containers() - self.containers)),
            *(f"temporary file {name}" for name in self._files()),
        ]

    def _files(self) -> list[str]:
        return sorted(path.name for path in self.temporary.iterdir() if not path.name.startswith(_OWN))

    def _processes(self) -> list[psutil.Process]:
        own = psutil.Process()
        children = set(own.children(recursive=True))
        spared = {own.pid, *(parent.pid for parent in own.parents())}
        marked = {
            process for process in psutil.process_iter() if process.pid not in spared and self._is_marked(process)
        }
        return [process for process in children | marked if _is_alive(process)]

    def _is_marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self.mark
        except (psutil.Error, OSError):
            return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "?"


def _containers() -> frozenset[str]:
    if not shutil.which("docker"):
        return frozenset()
    command = ["docker", "ps", "--all", "--format", "{{.Names}}", "--filter", "name=llm-gateway"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(done.stdout.split()) if done.returncode == 0 else frozenset()
