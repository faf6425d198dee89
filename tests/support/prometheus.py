"""A Prometheus of somebody else's for tests, that may be given another configuration, and a receiver of webhooks."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from doubles.server import Answer, Double, Request
from llm_gateway.probes import Deadline, HttpProbe, wait
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def promtool(*arguments: str) -> str:
    """What `promtool` says; it must be content."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Prometheus:
    """The server; it keeps its data over a stop."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, gateway: str, key: str, **job: Any) -> None:
        """Start, or start anew, with one job for the gateway; `job` replaces parts of it."""
        self.stop()
        mine: Mapping[str, Any] = {
            "job_name": "llm-gateway",
            "metrics_path": "/metrics/",
            "authorization": {"credentials": key},
            "static_configs": [{"targets": [gateway.removeprefix("http://")]}],
            **job,
        }
        config = self.folder / "prometheus.yml"
        config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [mine]}))
        program = shutil.which("prometheus")
        assert program, "marked with needs('prometheus')"
        self.process = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        reason = wait(HttpProbe(f"{self.url}/-/ready"), Deadline(15))
        assert not reason, reason

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    server = Prometheus(folder)
    try:
        yield server
    finally:
        server.stop()


class Receiver(Double):
    """Takes whatever is posted."""

    def answer(self, request: Request) -> Answer:
        return Answer(body={"ok": True})
