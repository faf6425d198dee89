"""Ctrl-C and its like as an event that a verb looks at."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


def on_signals(event: threading.Event) -> Callable[[], None]:
    """Let SIGINT and SIGTERM set `event`; returns what puts the old handlers back."""
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in [number for number, handler in old.items() if handler is not signal.SIG_IGN]:  # nohup stays
        signal.signal(number, lambda *_: event.set())

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    return restore
