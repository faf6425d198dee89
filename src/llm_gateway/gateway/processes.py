"""What the operating system offers for families of processes; Linux calls are no-ops elsewhere."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int, number: signal.Signals) -> None:
    """Ask for a signal when `parent` ends, and end now if it is gone already.

    The kernel ties the signal to the present parent, so a re-parented process asks after that (prctl(2),
    PR_SET_PDEATHSIG). Elsewhere the worker polls its parent instead.
    """
    if LINUX:
        _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def wait_for_parent(parent: int, seconds: float) -> bool:
    """Wait until this process belongs to `parent`; the one in between ends within a millisecond."""
    end = time.monotonic() + seconds
    while os.getppid() != parent:
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
    return True


def thread_count() -> int:
    """Threads of this process, native ones too; 0 where that cannot be known."""
    return len(list(Path("/proc/self/task").iterdir())) if LINUX else 0


def signal_group(leader: int, number: signal.Signals) -> bool:
    """Signal a process group; False when nobody is left in it."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of zombies
        return False
    return True


def lead_a_group() -> None:
    """Become leader of an own process group: what a worker starts (its query engine) ends with it."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)


def describe_exit(status: int) -> str:
    """A wait status as words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
