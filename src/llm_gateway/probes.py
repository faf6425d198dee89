"""Is a service ready? One Probe protocol, one deadline clock, no fixed sleeps.

The idea of small wait strategies against one target is testcontainers' (facts/style.md section 1.4).
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Deadline:
    """A point in monotonic time.

    Args:
        seconds: how far away it is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.left == 0.0


class Probe(Protocol):
    """Answers "" when ready, else the reason why not (one line)."""

    def __call__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """Ready when host:port accepts a connection."""

    host: str
    port: int

    def __call__(self) -> str:
        try:
            with socket.create_connection((self.host, self.port), timeout=1):
                return ""
        except OSError as error:
            return f"{self.host}:{self.port} does not accept connections ({error.strerror or error})"


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Ready when GET `url` answers 2xx and the body passes `accept`. Never goes through a proxy."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: Callable[[bytes], bool] = lambda _body: True
    timeout: float = 3.0

    def __call__(self) -> str:
        if urlsplit(self.url).scheme not in {"http", "https"}:
            return f"{self.url} is not an http(s) URL"
        try:
            opener = build_opener(ProxyHandler({}))
            with opener.open(Request(self.url, headers=dict(self.headers)), timeout=self.timeout) as answer:  # noqa: S310
                return "" if self.accept(answer.read()) else f"{self.url} answered, but is not ready"
        except HTTPError as error:
            return f"{self.url} answers {error.code}"
        except URLError as error:
            return f"{self.url}: {error.reason}"
        except (OSError, ValueError) as error:
            return f"{self.url}: {error}"


def wait(
    probe: Probe,
    deadline: Deadline,
    *,
    alive: Callable[[], str] = lambda: "",
    cancelled: threading.Event | None = None,
    longest_pause: float = _LONGEST_PAUSE,
) -> str:
    """Call `probe` until it is ready; the pause grows from 20 ms to 0.5 s, or `longest_pause` seconds.

    Args:
        probe: what to wait for.
        deadline: when to give up.
        alive: answers "" while waiting makes sense, else why it does not (the process is gone).
        cancelled: set from another thread to stop waiting.
        longest_pause: seconds.

    Returns:
        "" when ready, else the last reason.
    """
    pause = _FIRST_PAUSE
    stop = cancelled if cancelled is not None else threading.Event()
    while True:
        reason = probe()
        if not reason:
            return ""
        dead = alive()
        if dead:
            return dead
        if deadline.passed or stop.is_set():
            return reason
        stop.wait(min(pause, deadline.left))
        pause = min(pause * 1.6, longest_pause)
