"""What launcher processes tell each other: one JSON object per line, over pipes and sockets."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

_CHUNK = 65536
_LONGEST_TEXT = 600

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Puts chunks of bytes together to messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that `chunk` completes. Raises ValueError when a line is not a JSON object."""
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        messages = [json.loads(line) for line in complete if line.strip()]
        if any(not isinstance(message, dict) for message in messages):
            raise ValueError("not a JSON object")
        return messages


class Report:
    """The worker's end of its pipe: its process id, then ready or failed, then closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, **message: Any) -> None:
        with contextlib.suppress(OSError):  # a supervisor that is gone hears nothing
            os.write(self._descriptor, encode(message))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_available(descriptor: int) -> bytes | None:
    """What can be read now; None when there is nothing yet, b"" at the end."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def say(text: str) -> None:
    """One line of the launcher in the gateway's log."""
    sys.stderr.write(f"gateway: {text}\n")
    sys.stderr.flush()


def one_line(error: BaseException) -> str:
    """An exception as one short line."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    line = f"{name}: {text}" if text else name
    return line if len(line) <= _LONGEST_TEXT else line[: _LONGEST_TEXT - 2] + " …"
