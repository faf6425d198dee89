"""Starts the gateway's launcher as a real process and looks at it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

import llm_gateway
from llm_gateway.errors import GatewayError
from llm_gateway.gateway.control import ask
from llm_gateway.probes import Deadline, wait
from llm_gateway.services.base import Process
from llm_gateway.specs import write_spec
from support.leftovers import MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MASTER_KEY = "sk-launcher-tests-0123456789abcdef"
START_SECONDS = 120
CHAT = {"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}
MOCK_MODEL = {
    "model_name": "demo-chat",
    "litellm_params": {"model": "openai/gpt-4o-mini", "api_key": "none", "mock_response": "hello there"},
}


def until(what: Callable[[], Any], *, seconds: float = 20, reason: str = "") -> Any:
    """Wait until `what()` is true and return it."""
    found: list[Any] = []

    def probe() -> str:
        value = what()
        if value:
            found.append(value)
        return "" if value else (reason or "not yet")

    assert wait(probe, Deadline(seconds)) == "", reason or f"waited {seconds} s in vain"
    return found[-1]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A clean environment for a launcher: no key, proxy or database of the machine leaks in."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", MARK) if name in os.environ}
    source = str(Path(llm_gateway.__file__).parents[1])
    return {**kept, "PYTHONPATH": source, "LITELLM_MASTER_KEY": MASTER_KEY, **(extra or {})}


def write_config(folder: Path, config: Mapping[str, Any] | str, *, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    return path


def command(config: Path, control: Path, python: str = sys.executable, *, port: int = 0) -> list[str]:
    """A launcher's command line."""
    module = "llm_gateway.gateway.launcher"
    return [python, "-m", module, "--config", str(config), "--port", str(port), "--control", str(control)]


@dataclass
class Launched:
    """A running launcher."""

    process: subprocess.Popen[bytes]
    control: Path
    log_file: Path

    def status(self) -> dict[str, Any]:
        return ask(self.control)

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def address(self) -> str:
        return self.status()["address"]

    def workers(self) -> list[int]:
        """Process ids of the ready workers."""
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "ready"]

    def ready(self, workers: int = 1) -> Launched:
        def probe() -> str:
            try:
                return "" if len(self.workers()) >= workers else "not ready"
            except GatewayError as error:
                return str(error)

        reason = wait(probe, Deadline(START_SECONDS), alive=lambda: "ended" if self.process.poll() is not None else "")
        assert reason == "", f"{reason}\n{self.log()}"
        return self

    def family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.address,
            headers={"Authorization": f"Bearer {MASTER_KEY}"},
            timeout=30,
            trust_env=False,
            **options,
        )

    def chat(self, **body: Any) -> httpx.Response:
        """One chat request over a new connection."""
        with self.client() as client:
            return client.post("/v1/chat/completions", json={**CHAT, **body})

    def order(
        self,
        config: Mapping[str, Any] | str,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        python: str = sys.executable,
        fresh: bool = False,
    ) -> dict[str, Any]:
        """Ask for a reload to a new config, with `variables` in its `.env`; the launcher's answer.

        The spec file is called after the config's number: spec1.json and so on.
        """
        folder = self.control.parent
        number = len(list(folder.glob("config*.yaml")))
        env_file = folder / ".env"
        env_file.write_text("".join(f"{name}={value}\n" for name, value in (variables or {}).items()))
        process = Process(
            "gateway",
            (*command(write_config(folder, config, name=f"config{number}.yaml"), self.control, python), *arguments),
            reads_spec=True,
        )
        spec = folder / f"spec{number}.json"
        write_spec(spec, process, env_file=env_file)
        return ask(self.control, do="reload", spec=str(spec), fresh=fresh)

    def reload(self, *arguments: Any, seconds: float = 60, **options: Any) -> dict[str, Any]:
        """Ask for a reload and wait for its end; the launcher's last word on it."""
        answer = self.order(*arguments, **options)
        assert "reload" in answer, answer

        def over() -> dict[str, Any] | None:
            reload: dict[str, Any] = self.status()["reload"]
            return reload if reload["state"] in {"done", "failed"} else None

        ended: dict[str, Any] = until(over, seconds=seconds, reason=f"the reload does not end\n{self.log()}")
        assert ended["number"] == answer["reload"]
        return ended

    def stop(self, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def launched(
    folder: Path,
    config: Mapping[str, Any] | str | None = None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[Launched]:
    """Start a launcher; at the end it is gone with everything it started."""
    path = write_config(folder, config if config is not None else {"model_list": [MOCK_MODEL]})
    control, log_file = folder / "gateway.sock", folder / "gateway.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*command(path, control, port=port), *arguments],
            env=environment(env),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    running = Launched(process, control, log_file)
    family: list[psutil.Process] = []
    try:
        yield running
    finally:
        if process.poll() is None:
            family = running.family()
            process.kill()
            process.wait()
        gone(family)


def gone(family: list[psutil.Process], seconds: float = 15) -> None:
    """Fail unless every process of the family has ended; those that have not are ended here."""

    def living() -> list[psutil.Process]:
        # An orphan that ended stays a zombie for as long as this machine's init does not look.
        return [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    wait(lambda: "alive" if living() else "", Deadline(seconds))
    alive = living()
    for process in alive:
        process.kill()
    assert not alive, f"orphans: {alive}"
