"""A bare LiteLLM proxy, started as its own command line does, on the engine under test."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from llm_gateway.probes import Deadline, HttpProbe, wait
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime

MASTER_KEY = "sk-test-master-key-7f3c"
_CONFIG = """
model_list:
  - model_name: mock
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "mocked answer"}
  - model_name: other
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: "other answer"}
general_settings:
  proxy_batch_write_at: 1
"""


@dataclass
class Proxy:
    process: subprocess.Popen[bytes]
    url: str
    database: str
    log: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def call(self, method: str, path: str, body: Any = None, *, key: str = MASTER_KEY, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        return self.client.request(method, f"{self.url}{path}", json=body, headers=headers, **more)

    def chat(self, *, key: str = MASTER_KEY, model: str = "mock", **more: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}
        return self.call("POST", "/v1/chat/completions", body, key=key)

    def engines(self) -> list[psutil.Process]:
        family = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in family if _name(child).startswith("query-engine")]


def _name(process: psutil.Process) -> str:
    try:
        return "" if process.status() == "zombie" else process.name()
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def proxy(runtime: PrismaRuntime, url: str, directory: Path, *, workers: int = 1) -> Iterator[Proxy]:
    """A proxy that is ready, with its database connected."""
    port, log, config = free_port(), directory / "litellm.log", directory / "config.yaml"
    config.write_text(_CONFIG)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LITELLM_", "PRISMA_"))}
    environment = {
        **kept,
        **runtime.environment(),
        "DATABASE_URL": url,
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_SALT_KEY": "sk-test-salt",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "STORE_MODEL_IN_DB": "True",
        "UI_USERNAME": "admin",
        "UI_PASSWORD": "test-password",
    }
    command = [sys.executable, "-c", "from litellm import run_server; run_server()", "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", str(workers)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, cwd=directory, stdout=stream, stderr=stream)
    running = Proxy(process, f"http://127.0.0.1:{port}", url, log)
    try:
        ready = HttpProbe(f"{running.url}/health/readiness", accept=lambda body: b'"db":"connected"' in body)
        ended = lambda: "" if process.poll() is None else "it ended"  # noqa: E731
        reason = wait(ready, Deadline(120), alive=ended)
        assert not reason, f"{reason}\n{log.read_text()[-3000:]}"
        yield running
    finally:
        running.client.close()
        family = [process_ := psutil.Process(process.pid), *process_.children(recursive=True)]
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in family:
            if child.is_running() and child.pid != process.pid:
                child.kill()
