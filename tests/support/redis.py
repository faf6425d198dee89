"""A real Redis or Valkey for tests, that may be stopped and started again on its port."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from llm_gateway.probes import Deadline, wait
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_OWN = "test"


@dataclass
class RedisServer:
    """The server; it keeps nothing over a stop."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program, "marked with needs('redis')"
        options = {"--port": str(self.port), "--bind": "127.0.0.1", "--save": "", "--dir": str(self.folder)}
        words = [word for pair in options.items() for word in pair]
        self.process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        reason = wait(self._answers, Deadline(10))
        assert not reason, reason

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, client_name=_OWN)

    def ports(self) -> set[int]:
        """Client ports of all connections but the test's own."""
        with self.client() as client:
            return {int(one["addr"].rpartition(":")[2]) for one in client.client_list() if one["name"] != _OWN}

    def _answers(self) -> str:
        try:
            with self.client() as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return ""


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()
