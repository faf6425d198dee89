#!/usr/bin/env python3
"""How long until the first answered chat, once everything is installed.

    python benchmarks/start.py [--rounds 5]

Four rows of one run, interleaved:

    bare LiteLLM     `litellm --config` without a database, same venv and byte code → first chat with the master key
    kit, new home    `llm-gateway start` with an empty database → first chat with the virtual key   (goal ≤ 1.5 ×)
    kit, again       stop, then `start` with the database that is there → first chat                (goal ≤ 1.2 ×)
    status           `llm-gateway status` of the running stack                                       (goal ≤ 0.5 s)

Run it with the Python of a venv that has the kit and LiteLLM, best on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import httpx
import psutil

from llm_gateway.gateway.environment import quiet_environment
from llm_gateway.probes import Deadline, wait

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs/model-config-demo.yaml"
BARE_KEY = "sk-benchmark-0123456789abcdef0123456789"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def first_chat(url: str, key: str) -> str:
    """Probe: "" once a chat completion is answered."""
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": f"Hello {time.time()}"}]}
    try:
        answer = httpx.post(
            f"{url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    return "" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"


def bare(directory: Path) -> float:
    """Seconds from `litellm --config` to the first chat."""
    port = free_port()
    environ = {**os.environ, **quiet_environment(), "LITELLM_MASTER_KEY": BARE_KEY}
    for name in ("PYTHONDONTWRITEBYTECODE", "DATABASE_URL"):
        environ.pop(name, None)
    began = time.monotonic()
    with (directory / "bare.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("litellm"), "--config", CONFIG, "--host", "127.0.0.1", "--port", str(port)],
            env=environ,
            stdout=log,
            stderr=log,
            cwd=directory,
        )
    try:
        reason = wait(lambda: first_chat(f"http://127.0.0.1:{port}", BARE_KEY), Deadline(120))
        if reason:
            raise SystemExit(f"bare LiteLLM: {reason}")
        return time.monotonic() - began
    finally:
        process.terminate()
        process.wait(30)


class Kit:
    """`llm-gateway` on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {**os.environ, "LLM_GATEWAY_HOME": str(home)}
        self.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self.ports = [f"--{name}-port={free_port()}" for name in ("gateway", "postgres", "redis")]

    def run(self, *arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "llm_gateway", *arguments, "--json"],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        envelope: dict[str, object] = json.loads(done.stdout)
        if done.returncode:
            raise SystemExit(f"{arguments}: {envelope['errors']}")
        return envelope

    def start(self) -> float:
        """Seconds from `start` to the first chat with the virtual key."""
        began = time.monotonic()
        data = self.run("start", "--config", str(CONFIG), "--detach", *self.ports)["data"]
        assert isinstance(data, dict)
        reason = first_chat(data["url"], data["key"])
        if reason:
            raise SystemExit(f"kit: {reason}")
        return time.monotonic() - began

    def status(self) -> float:
        began = time.monotonic()
        self.run("status")
        return time.monotonic() - began


def measure(rounds: int) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {"bare LiteLLM": [], "kit, new home": [], "kit, again": [], "status": []}
    with tempfile.TemporaryDirectory(prefix="llm-gateway-benchmark-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        prepared = Kit(directory / "prepared")
        prepared.start()  # the wheels and the database client are part of "installed"
        prepared.run("stop")
        for number in range(rounds):
            rows["bare LiteLLM"].append(bare(directory))
            kit = Kit(directory / f"home-{number}")
            shutil.copytree(prepared.home / "venvs", kit.home / "venvs", symlinks=True)
            try:
                rows["kit, new home"].append(kit.start())
                rows["status"] += [kit.status() for _ in range(3)]
                kit.run("stop")
                rows["kit, again"].append(kit.start())
            finally:
                kit.run("stop")
            print(f"  round {number + 1}: " + ", ".join(f"{row} {values[-1]:.2f} s" for row, values in rows.items()))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    rows = measure(parser.parse_args().rounds)
    medians = {row: statistics.median(values) for row, values in rows.items()}
    base = medians["bare LiteLLM"]
    print("\n| what | median s | ratio |\n| --- | --- | --- |")
    for row, median in medians.items():
        print(f"| {row} | {median:.2f} | {median / base:.2f} |")
    result = {
        "benchmark": "start",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, {psutil.virtual_memory().total // 1024**3} GiB",
        "python": platform.python_version(),
        "litellm": version("litellm"),
        "load": os.getloadavg(),
        "seconds": rows,
        "medians": medians,
        "ratios": {row: median / base for row, median in medians.items()},
    }
    results = Path(__file__).with_name("results")
    results.mkdir(exist_ok=True)
    (results / "start.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
