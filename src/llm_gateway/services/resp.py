"""Redis' protocol, as far as the kit asks a server something: RESP 2, one question at a time.

No package of Redis is imported for it: each costs 0.2 s, and a client that connects anew by itself would hide what
this is for.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 1_000_000  # bytes of one answer's part; the kit's questions have answers of a few kB


class Refused(Exception):  # noqa: N818 - the server's word, not a failure of this code
    """The server answers with an error; `str()` is its text, as `OOM command not allowed …`."""


class Connection:
    """A connection that is open and authenticated; `connect` makes it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def ask(self, *words: str | bytes | int) -> Any:
        """What the server answers: text, bytes, int, None or a list of these.

        Raises:
            Refused: it answers with an error.
            OSError: it does not answer, or not in this protocol.
        """
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)]
        self._socket.sendall(b"".join(parts))
        return self._answer()

    def _answer(self) -> Any:
        line = self._file.readline(_LARGEST)
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        sized = kind in {b":", b"$", b"*"}
        if not line.endswith(b"\r\n") or not (kind in {b"+", b"-"} or (sized and rest.lstrip(b"-").isdigit())):
            raise OSError("what answers is not Redis" if line else "it closes the connection")
        if kind == b"+":
            return rest.decode(errors="replace")
        if kind == b"-":
            raise Refused(rest.decode(errors="replace"))
        number = int(rest)
        if kind == b":":
            return number
        if number < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(number)]
        if number > _LARGEST:
            raise OSError("what answers is not Redis")
        return self._file.read(number + 2)[:-2]


@contextlib.contextmanager
def connect(host: str, port: int, password: str = "", *, timeout: float = 1.0) -> Iterator[Connection]:
    """A connection for the block.

    Args:
        host: name or address.
        port: TCP port.
        password: of the user `default`; "" asks nothing of the server yet.
        timeout: seconds for connecting, and for each answer.

    Raises:
        Refused: the server does not take the password.
        OSError: nothing answers there, or not in this protocol.
    """
    with socket.create_connection((host, port), timeout=timeout) as opened:
        connection = Connection(opened)
        if password:
            connection.ask("AUTH", password)
        yield connection
