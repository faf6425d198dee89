"""Progress of long work, on stderr; stdout stays clean for data.

On a terminal the running step shows its seconds and is replaced by its result; elsewhere each step is one
line when it ends. Standard library only: the installer uses it too.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class Step(Protocol):
    """A running piece of work. `detail` replaces the text shown behind its name."""

    def detail(self, text: str) -> None: ...


class _Line:
    def __init__(self) -> None:
        self.text = ""

    def detail(self, text: str) -> None:
        self.text = text


class Progress:
    """Writes steps and notes to a stream.

    Args:
        stream: where to write; stderr by default.
        quiet: write nothing at all (`--json` and tests).
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._terminal = not quiet and self._stream.isatty()
        self._lock = threading.Lock()
        self._running: dict[str, tuple[float, _Line]] = {}

    def note(self, text: str) -> None:
        """One line that stays."""
        if not self._quiet:
            with self._lock:
                self._clear()
                print(text, file=self._stream, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show `name` while the body runs, then `name … result`. Steps of several threads may overlap."""
        line, started, stop = _Line(), time.monotonic(), threading.Event()
        with self._lock:
            self._running[name] = (started, line)
        painter = None
        if self._terminal:
            painter = threading.Thread(target=self._paint, args=(stop,), daemon=True)
            painter.start()
        outcome = "failed"
        try:
            yield line
            outcome = line.text or "done"
        finally:
            stop.set()
            if painter:
                painter.join()
            with self._lock:
                del self._running[name]
            self.note(f"  {name:<26} {outcome} ({time.monotonic() - started:.1f} s)")

    def _paint(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            with self._lock:
                if not self._running:
                    return
                now = time.monotonic()
                parts = [
                    f"{name} {line.text}".strip() + f" {now - started:.0f} s"
                    for name, (started, line) in self._running.items()
                ]
                self._clear()
                print(("  " + " · ".join(parts))[:100], end="", file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=self._stream)
