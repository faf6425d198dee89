"""One installation at a time in one directory."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_gateway.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PAUSE = 0.1


@contextmanager
def exclusive(path: Path, deadline: float, *, waiting: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Hold the lock file `path`; yields its descriptor.

    A child that inherits the descriptor keeps the lock even when this process is killed.

    Args:
        path: made when missing, never removed (removing a lock file is a race).
        deadline: `time.monotonic()` at which waiting ends.
        waiting: called once when somebody else holds the lock.

    Raises:
        DeadlineError: E222, it was not released in time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(descriptor, path, deadline, waiting)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float, waiting: Callable[[], None]) -> None:
    told, pause = False, threading.Event()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                waiting()
                told = True
        else:
            return
        if time.monotonic() >= deadline:
            raise DeadlineError(
                "E222",
                "Another installation into this home does not end.",
                cause=f"A process holds {path}: an installer that hangs, or one that was left over.",
                next=f"See who: fuser -v {path}",
            )
        pause.wait(_PAUSE)
