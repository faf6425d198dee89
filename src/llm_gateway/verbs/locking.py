"""One verb at a time may change what runs in a home."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from llm_gateway.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_gateway.paths import Home
    from llm_gateway.progress import Progress


@contextmanager
def changing(home: Home, *, progress: Progress, timeout: float) -> Iterator[None]:
    """Hold the home's lock; a verb that meets another one says so and waits for it.

    Raises:
        DeadlineError: E315, the other verb did not end in time.
    """
    lock = FileLock(home.state / "change.lock", mode=0o600)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note("  Another llm-gateway command is at work in this home; waiting for it.")
            lock.acquire(timeout=timeout, poll_interval=0.1)
    except Timeout:
        raise DeadlineError(
            "E315",
            f"Another llm-gateway command has been at work in {home.root} for {timeout:.0f} s.",
            cause="A start that takes long, or hangs.",
            next="llm-gateway status, or end that command with Ctrl-C",
        ) from None
    try:
        yield
    finally:
        lock.release()
