#!/usr/bin/env python3
"""From a fresh clone to the first answered chat, with empty caches.

    python3 benchmarks/fresh_clone.py [--rounds 5]

Two rows of one run, interleaved:

    pip, bare LiteLLM  `python -m venv`, `pip install litellm[proxy]` at the kit's pin, `litellm --config` without a
                       database → first chat with the master key
    kit                clone, `start_llm_gateway.sh` with a home that does not exist → first chat with the virtual key
                       (PostgreSQL, Redis, keys and budgets included)   (goal ≤ 0.35 ×)

Standard library only: it runs before anything is installed. Each round downloads about 0.7 GB twice.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/model-config-demo.yaml"
BARE_KEY = "sk-benchmark-0123456789abcdef0123456789"
GOAL = 0.35
_LIMIT = 600.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def chat(url: str, key: str) -> str:
    """Probe: "" once a chat completion is answered."""
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            return "" if answer.status == 200 else str(answer.status)
    except (urllib.error.URLError, OSError) as error:
        return str(error)


def pinned() -> str:
    """The requirement of the kit itself, so that both rows install the same LiteLLM."""
    found = re.search(r'"(litellm\[proxy\]==[^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    if not found:
        raise SystemExit("pyproject.toml pins no litellm[proxy]")
    return found[1]


def empty_caches(directory: Path) -> dict[str, str]:
    """This environment, with byte code allowed and every cache in a folder that does not exist yet."""
    caches = directory / "caches"
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}}
    return {
        **env,
        "PIP_CACHE_DIR": str(caches / "pip"),
        "UV_CACHE_DIR": str(caches / "uv"),
        "npm_config_cache": str(caches / "npm"),
        "XDG_CACHE_HOME": str(caches / "xdg"),
    }


def run(*command: str | Path, env: dict[str, str], cwd: Path, log: Path) -> str:
    """Run to the end; its output. Ends the benchmark when it fails."""
    with log.open("ab") as errors:
        done = subprocess.run(command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{log.read_text('utf-8')[-2000:]}")
    return done.stdout


def bare(directory: Path, python: str) -> dict[str, float]:
    """A venv, pip, and LiteLLM without a database."""
    env, log, began = empty_caches(directory), directory / "log", time.monotonic()
    run(python, "-m", "venv", "venv", env=env, cwd=directory, log=log)
    run("venv/bin/pip", "install", "--quiet", pinned(), env=env, cwd=directory, log=log)
    installed = time.monotonic() - began
    port = free_port()
    # The remote price list is out of reach on many networks; without this the row would only get slower.
    env |= {"LITELLM_MASTER_KEY": BARE_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = ["venv/bin/litellm", "--config", ROOT / CONFIG, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=env, cwd=directory, stdout=output, stderr=output, start_new_session=True
        )
    try:
        pause = 0.1
        while reason := chat(f"http://127.0.0.1:{port}", BARE_KEY):
            if process.poll() is not None or time.monotonic() - began > _LIMIT:
                raise SystemExit(f"bare LiteLLM: {reason}\n{log.read_text('utf-8')[-2000:]}")
            time.sleep(pause)
        return {"install": installed, "total": time.monotonic() - began}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def kit(directory: Path, python: str) -> dict[str, float]:
    """A clone and its start script."""
    env, log, began = empty_caches(directory) | {"LLM_GATEWAY_PYTHON": python}, directory / "log", time.monotonic()
    env.pop("LLM_GATEWAY_HOME", None)
    run("git", "clone", "--quiet", ROOT, "clone", env=env, cwd=directory, log=log)
    clone = directory / "clone"
    ports = [f"--{name}-port={free_port()}" for name in ("gateway", "postgres", "redis")]
    try:
        output = run(
            "scripts/start_llm_gateway.sh",
            "--config",
            CONFIG,
            "--detach",
            "--json",
            *ports,
            env=env,
            cwd=clone,
            log=log,
        )
        data = json.loads(output)["data"]
        if reason := chat(data["url"], data["key"]):
            raise SystemExit(f"kit: {reason}")
        total, now = time.monotonic() - began, time.time()
    finally:
        run("scripts/stop_llm_gateway.sh", env=env, cwd=clone, log=log)
    # The stamp is written when the environment is complete: what comes later is the start.
    stamp = (clone / ".llm_gateway/venvs/gateway/.llm-gateway.json").stat().st_mtime
    return {"install": total - (now - stamp), "total": total}


def measure(rounds: int, python: str) -> dict[str, list[dict[str, float]]]:
    rows: dict[str, list[dict[str, float]]] = {"pip, bare LiteLLM": [], "kit": []}
    for number in range(rounds):
        for row, how in (("pip, bare LiteLLM", bare), ("kit", kit)):
            directory = Path(tempfile.mkdtemp(prefix="llm-gateway-benchmark-"))
            directory.chmod(0o755)  # PostgreSQL runs as another user when this runs as root
            try:
                rows[row].append(how(directory, python))
            finally:
                shutil.rmtree(directory, ignore_errors=True)
            last = rows[row][-1]
            print(f"  round {number + 1}: {row}: {last['total']:.1f} s (installed after {last['install']:.1f} s)")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that both build on")
    given = parser.parse_args()
    load = os.getloadavg()
    rows = measure(given.rounds, given.python)
    medians = {
        row: {part: statistics.median(one[part] for one in values) for part in ("install", "total")}
        for row, values in rows.items()
    }
    base = medians["pip, bare LiteLLM"]["total"]
    print("\n| what | installed after s | first chat after s | ratio |\n| --- | --- | --- | --- |")
    for row, median in medians.items():
        print(f"| {row} | {median['install']:.1f} | {median['total']:.1f} | {median['total'] / base:.2f} |")
    print(f"\nGoal for the kit: {GOAL}")
    result = {
        "benchmark": "fresh_clone",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "litellm": pinned(),
        "load_before": load,
        "seconds": rows,
        "medians": medians,
        "ratio": medians["kit"]["total"] / base,
        "goal": GOAL,
    }
    results = Path(__file__).with_name("results")
    results.mkdir(exist_ok=True)
    (results / "fresh_clone.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
