"""Takes connections from the shared socket in turns, so that every worker gets its part.

uvloop's own listener takes whatever waits at once: of 16 connections opened together, one of two idle workers
got 14 to 16 (measured, uvloop 0.23), and a client that keeps its connections was served by one core. Here a
worker takes one connection and then leaves the socket to the others, the longer the more it holds; a busy
worker comes back later by itself.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sized

# Per connection held, at most: what a new connection may wait when all workers are equally loaded.
_PAUSE, _LONGEST_PAUSE = 0.0005, 0.005
_ERROR_PAUSE = 0.1


class Acceptor:
    """Accepts on one listening socket for one event loop.

    Args:
        listener: shared with the other workers, non-blocking.
        protocol: makes the protocol of a new connection.
        held: the connections of this worker.
        shared: other workers accept on the same socket.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        held: Sized,
        *,
        shared: bool,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._protocol = protocol
        self._held = held
        self._shared = shared
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open = True
        self._resume()

    def close(self) -> None:
        """Take no more connections; the socket stays with the others."""
        self._open = False
        self._loop.remove_reader(self._listener)

    @property
    def busy(self) -> bool:
        """Is a connection taken that nobody holds yet?"""
        return bool(self._tasks)

    def _resume(self) -> None:
        if self._open:
            self._loop.add_reader(self._listener, self._accept)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has left
        except OSError:
            self._rest(_ERROR_PAUSE)  # no descriptor or memory left; the client waits in the backlog
            return
        connection.settimeout(0)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._shared:
            self._rest(min(_LONGEST_PAUSE, _PAUSE * (len(self._held) + 1)))
