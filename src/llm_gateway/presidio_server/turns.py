"""Taking turns, in the order of arrival."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A semaphore that is fair: who gives a turn back and asks again at once waits behind those who came before.

    `threading.Semaphore` promises no order, and a thread that goes on at once nearly always wins it again.

    Args:
        at_once: how many have a turn at a time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until somebody hands over

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
