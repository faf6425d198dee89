"""One verb at a time may change what runs in a home."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from llm_gateway.engines.native import Interrupted
from llm_gateway.errors import DeadlineError, InputError
from llm_gateway.files import read_json, write_json
from llm_gateway.probes import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_gateway.paths import Home
    from llm_gateway.progress import Progress

_PAUSE = 0.2  # seconds between tries while another verb holds the lock


@contextlib.contextmanager
def changing(
    home: Home, *, progress: Progress, timeout: float, interrupted: threading.Event | None = None
) -> Iterator[None]:
    """Hold the home's lock; a verb that meets another one says so and waits for it.

    Args:
        home: whose lock.
        progress: where to say that it waits.
        timeout: seconds to wait.
        interrupted: calls the waiting off, and is set by SIGTERM: `call_off` may then end the verb meanwhile.

    Raises:
        DeadlineError: E315, the other verb did not end in time.
        Interrupted: `interrupted` was set while waiting.
    """
    lock = FileLock(home.state / "change.lock", mode=0o600)
    _acquire(lock, home, progress=progress, timeout=timeout, interrupted=interrupted or threading.Event())
    holder = _holder(home)
    try:
        if interrupted is not None:
            write_json(holder, {"pid": os.getpid(), "started": psutil.Process().create_time()})
        yield
    finally:
        if interrupted is not None:
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: FileLock, home: Home, *, progress: Progress, timeout: float, interrupted: threading.Event) -> None:
    deadline, told = Deadline(timeout), False
    while True:
        try:
            lock.acquire(timeout=_PAUSE if told else 0, poll_interval=_PAUSE / 4)
        except Timeout:
            if interrupted.is_set():
                raise Interrupted from None
            if deadline.passed:
                raise DeadlineError(
                    "E315",
                    f"Another llm-gateway command has been at work in {home.root} for {timeout:.0f} s.",
                    cause="A start that takes long, or hangs.",
                    next="llm-gateway stop (it calls a start off), or wait",
                ) from None
            if not told:
                progress.note("  Another llm-gateway command is at work in this home; waiting for it.")
            told = True
        else:
            return


def _holder(home: Home) -> Path:
    return home.state / "starting.json"


def call_off(home: Home) -> bool:
    """Ask a start that is under way in this home to roll back; it holds the lock until it has. Was there one?"""
    with contextlib.suppress(InputError, psutil.Error, KeyError):
        record = read_json(_holder(home))
        process = psutil.Process(record["pid"])
        if abs(process.create_time() - record["started"]) < 1:
            process.terminate()
            return True
    return False
