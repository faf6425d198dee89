"""What both gateway benchmarks stand on: a PostgreSQL, a migrated database, a model server, two gateways.

The database and its client are prepared by the kit for both; what is compared is how LiteLLM is launched.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import llm_gateway
from llm_gateway.gateway.environment import quiet_environment
from llm_gateway.prisma_wasm.install import prepare_client
from llm_gateway.prisma_wasm.migrate import apply
from llm_gateway.probes import Deadline, HttpProbe, TcpProbe, wait
from llm_gateway.progress import Progress
from support.postgres import cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Cluster

MASTER_KEY = "sk-benchmark-0123456789abcdef0123456789"
RESULTS = Path(__file__).with_name("results")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Processor time of the gateway with its engines so far."""
        times = [process.cpu_times() for process in self.family()]
        return sum(one.user + one.system for one in times)

    def stop(self) -> None:
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()


@dataclass
class Stage:
    """Starts gateways on one database."""

    folder: Path
    config: Path
    environment: dict[str, str]
    postgres: Cluster
    database: str
    running: list[Gateway] = field(default_factory=list)

    def kit(self, name: str = "kit", *arguments: str, env: dict[str, str] | None = None) -> Gateway:
        """The kit's launcher."""
        port = free_port()
        command = [sys.executable, "-m", "llm_gateway.gateway.launcher", "--config", str(self.config)]
        command += ["--port", str(port), "--control", str(self.folder / f"{name}.sock"), *arguments]
        return self._start(name, command, port, quiet_environment() | (env or {}))

    def bare(self, name: str = "litellm") -> Gateway:
        """LiteLLM's own command line with its defaults: one uvicorn worker."""
        port = free_port()
        litellm = str(Path(sys.executable).with_name("litellm"))
        command = [litellm, "--config", str(self.config), "--host", "127.0.0.1", "--port", str(port)]
        return self._start(name, command, port, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})

    def _start(self, name: str, command: list[str], port: int, env: dict[str, str]) -> Gateway:
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, env={**self.environment, **env}, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        gateway = Gateway(name, process, port, log)
        self.running.append(gateway)
        probe = HttpProbe(f"{gateway.url}/health/readiness", accept=lambda body: b'"connected"' in body)
        reason = wait(probe, Deadline(180), alive=lambda: "ended" if process.poll() is not None else "")
        if reason:
            raise SystemExit(f"{name}: {reason}\n{log.read_text()[-3000:]}")
        return gateway

    def virtual_key(self, gateway: Gateway) -> str:
        answer = httpx.post(
            f"{gateway.url}/key/generate",
            headers={"Authorization": f"Bearer {MASTER_KEY}"},
            json={"models": ["demo-chat"]},
            timeout=60,
        )
        return str(answer.raise_for_status().json()["key"])

    def spend_rows(self) -> int:
        with self.postgres.connect(self.database) as connection:
            row = connection.execute('SELECT count(*) FROM "LiteLLM_SpendLogs"').fetchone()
        return int(str(row[0])) if row else 0


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything up; at the end everything gone."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place, cluster() as postgres:
        folder = Path(place)
        database = postgres.create_database()
        apply(postgres.url(database), deadline=Deadline(120))
        runtime = prepare_client(
            python=Path(sys.executable),
            directory=folder / "prisma",
            environment=dict(os.environ),
            progress=Progress(),
        )
        port = free_port()
        upstream = subprocess.Popen([sys.executable, str(Path(__file__).with_name("upstream.py")), str(port)])
        assert not wait(TcpProbe("127.0.0.1", port), Deadline(20))
        parameters = {"model": "openai/gpt-4o-mini", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
        config = folder / "config.yaml"
        models = [{"model_name": "demo-chat", "litellm_params": parameters}]
        config.write_text(json.dumps({"model_list": models, "general_settings": {"proxy_batch_write_at": 5}}))
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environment = {
            **kept,
            **runtime.environment(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(llm_gateway.__file__).parents[1]),
            "DATABASE_URL": postgres.url(database),
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_SALT_KEY": MASTER_KEY,
        }
        made = Stage(folder, config, environment, postgres, database)
        try:
            yield made
        finally:
            for gateway in made.running:
                if gateway.process.poll() is None:
                    gateway.stop()
            upstream.kill()
            upstream.wait()


def machine() -> dict[str, Any]:
    """The conditions of a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "litellm": version("litellm"),
    }


def save(name: str, result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")
    print(f"\n{file}")
