"""Two workers forked by a nursery, with everything around them that a fork could have carried along wrongly."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from support.launcher import MOCK_MODEL, Launched, launched, until
from support.openai_upstream import Upstream, serving
from support.realtime import Realtime, realtime_upstream
from support.redis import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime

RECORDER = Path(__file__).with_name("recorder.py")
FAILING = {
    "model_name": "failing",
    "litellm_params": {"model": "openai/m", "api_key": "none", "mock_response": "litellm.InternalServerError"},
}


@dataclass
class Pair:
    """A gateway with two forked workers, and what stands around it."""

    gateway: Launched
    folder: Path
    upstream: Upstream
    realtime: Realtime
    redis: RedisServer
    database: str

    @property
    def nursery(self) -> int:
        """Proof that the workers are forks: who made them is there."""
        status = self.gateway.status()
        assert status["preload"] is True
        assert psutil.pid_exists(status["nursery"])
        return int(status["nursery"])

    def noted(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "noted").read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["event"] == event]

    def replace(self, *victims: int) -> None:
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        until(lambda: len(self.gateway.workers()) == 2 and not set(victims) & set(self.gateway.workers()))

    def served_by(self, calls: set[str]) -> set[int]:
        """Who answered these calls; empty until all are noted."""
        notes = {note["call"]: note["pid"] for note in self.noted("success")}
        return {notes[call] for call in calls} if calls <= notes.keys() else set()

    def ask_both(self, **body: Any) -> set[str]:
        """Ask over new connections until both workers have answered; the ids of the calls."""
        calls: set[str] = set()

        def both() -> bool:
            for _ in range(5):
                answer = self.gateway.chat(**body)
                assert answer.status_code == 200, answer.text
                calls.add(answer.headers["x-litellm-call-id"])
            until(lambda: self.served_by(calls), reason="not every success was noted")
            return self.served_by(calls) == set(self.gateway.workers())

        until(both, reason="one of two workers never answered")
        return calls


def held(pid: int, port: int) -> set[int]:
    """Own ports of the connections that a process has to a port."""
    connections = psutil.Process(pid).net_connections(kind="tcp")
    return {one.laddr.port for one in connections if one.raddr and one.raddr.port == port}


@contextmanager
def forked_pair(folder: Path, database: str, runtime: PrismaRuntime) -> Iterator[Pair]:
    """Start the gateway with a recording callback, Redis, a migrated database and its upstreams."""
    shutil.copy(RECORDER, folder / "recorder.py")
    with serving() as upstream, realtime_upstream() as realtime, redis_server(folder) as redis:
        config = {
            "model_list": [MOCK_MODEL, FAILING, upstream.model("real"), realtime.model()],
            "litellm_settings": {
                "callbacks": ["recorder.recorder"],
                "cache": True,
                "cache_params": {"type": "redis", "host": "127.0.0.1", "port": redis.port},
            },
            "general_settings": {"proxy_batch_write_at": 1},
        }
        variables = {
            **runtime.environment(),
            "DATABASE_URL": database,
            "LITELLM_SALT_KEY": "sk-salt-of-launcher-tests",
            "REDIS_CIRCUIT_BREAKER_RECOVERY_TIMEOUT": "1",  # LiteLLM leaves a Redis that was gone alone for 60 s
            "RECORDER_FILE": str(folder / "noted"),
        }
        with launched(folder, config, "--workers", "2", env=variables) as gateway:
            gateway.ready(2)
            yield Pair(gateway, folder, upstream, realtime, redis, database)
