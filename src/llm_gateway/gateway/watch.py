"""The supervisor's event loop: descriptors with a callback each, in one thread."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Watch:
    """Calls back when something can be read."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, source: socket.socket | int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `source` can be read (or has ended)."""
        self._selector.register(source, selectors.EVENT_READ, callback)

    def remove(self, source: socket.socket | int) -> None:
        """Forget `source`; before it is closed."""
        self._selector.unregister(source)

    def wait(self, seconds: float) -> None:
        """Call what can be called within `seconds`. What an earlier callback removed meanwhile is not called."""
        for key, _ in self._selector.select(seconds):
            if self._selector.get_map().get(key.fd) is key:
                key.data()
