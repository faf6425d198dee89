#!/usr/bin/env python3
"""How long from an edited config to the first answer with it.

    python benchmarks/reload.py [--rounds 5]

Rows of one run, interleaved, all on one database:

    cold litellm     `litellm --config FILE` started for the edited file → first answer
    reload           the file is saved, `llm-gateway reload` → first answer          (goal ≤ 0.1 × cold)
    reload --watch   the file is saved while `reload --watch` looks at it → first answer
    .env reload      .env is saved, `llm-gateway reload` → it returns

Then reloads under load (20 requests/s, 4 streams of 3 s): failed requests, the longest wait, and the highest memory
(PSS), against a second gateway started beside the first.

Run it with the Python of a venv that has the kit, LiteLLM and the tests' packages, best on an idle machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
from stage import free_port, save
from start import Kit

from llm_gateway.gateway.environment import quiet_environment
from llm_gateway.probes import Deadline, wait
from support.openai_upstream import serving
from support.steady_client import Report, steady

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.openai_upstream import Upstream

KEY = "sk-benchmark-0123456789abcdef0123456789"


def write(config: Path, reply: str, upstream: Upstream) -> None:
    """A config whose `demo-chat` says `reply`, with a model for streams; without a response cache."""
    canned = {"model": "openai/demo-chat", "api_key": "none", "mock_response": reply}
    models = [{"model_name": "demo-chat", "litellm_params": canned}, upstream.model("slow")]
    config.write_text(json.dumps({"model_list": models, "litellm_settings": {"cache": False}}), encoding="utf-8")


def until_says(url: str, key: str, reply: str, began: float) -> float:
    """Seconds since `began` until an answer holds `reply`."""
    place = urlsplit(url)
    body = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def probe() -> str:
        # A connection for each: a kept one would stay with the old workers for one more answer.
        with closing(http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)) as connection:
            try:
                connection.request("POST", "/v1/chat/completions", body, headers)
                answer = connection.getresponse().read().decode()
            except (OSError, http.client.HTTPException) as error:
                return repr(error)
        return "" if reply in answer else answer[:200]

    pace = threading.Event()
    end = Deadline(120)
    while reason := probe():
        if end.passed:
            raise SystemExit(f"no answer with {reply!r}: {reason}")
        pace.wait(0.02)
    return time.monotonic() - began


def pss(processes: list[psutil.Process]) -> int:
    """Proportional memory in bytes; what has ended counts nothing."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


@dataclass
class Bench:
    """One running kit, its config, and bare LiteLLMs beside it."""

    kit: Kit
    config: Path
    upstream: Upstream
    url: str
    key: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    def edit(self) -> str:
        reply = f"reply {next(self.numbers)}."
        write(self.config, reply, self.upstream)
        return reply

    def launcher(self) -> psutil.Process:
        status = self.kit.run("status")["data"]
        assert isinstance(status, dict)
        (pid,) = [row["pid"] for row in status["services"] if row["service"] == "gateway"]
        return psutil.Process(pid)

    def family(self) -> list[psutil.Process]:
        root = self.launcher()
        return [root, *root.children(recursive=True)]

    @contextmanager
    def cold(self) -> Iterator[tuple[psutil.Process, float]]:
        """`litellm --config` on the kit's database, with the kit's query engine; seconds to its first answer."""
        reply, port = self.edit(), free_port()
        environ = self.launcher().children()[0].environ()  # the nursery's
        litellm = Path(sys.executable).with_name("litellm")
        command = [litellm, "--config", self.config, "--host", "127.0.0.1", "--port", str(port)]
        with tempfile.TemporaryFile() as log:
            began = time.monotonic()
            process = subprocess.Popen(command, env={**environ, **quiet_environment()}, stdout=log, stderr=log)
            try:
                seconds = until_says(f"http://127.0.0.1:{port}", environ["LITELLM_MASTER_KEY"], reply, began)
                yield psutil.Process(process.pid), seconds
            finally:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                process.terminate()
                _, alive = psutil.wait_procs(family, timeout=30)
                for left in alive:
                    left.kill()

    def reload(self) -> float:
        began = time.monotonic()
        reply = self.edit()
        command = [sys.executable, "-m", "llm_gateway", "reload"]
        with subprocess.Popen(command, env=self.kit.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            return until_says(self.url, self.key, reply, began)

    def watched(self) -> float:
        command = [sys.executable, "-m", "llm_gateway", "reload", "--watch"]
        with subprocess.Popen(
            command, env=self.kit.environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as watcher:
            assert watcher.stderr
            watcher.stderr.readline()
            began = time.monotonic()
            seconds = until_says(self.url, self.key, self.edit(), began)
            watcher.send_signal(signal.SIGINT)
            watcher.stderr.read()
        return seconds

    def env_reload(self) -> float:
        with (self.kit.home / "state" / ".env").open("a") as file:
            file.write(f"BENCHMARK_{next(self.numbers)}=1\n")
        began = time.monotonic()
        self.kit.run("reload")
        return time.monotonic() - began

    def under_load(self, swaps: int) -> tuple[Report, int, int]:
        """Reloads while clients are at work: their report, the memory before and the highest during a reload."""
        peaks: list[int] = []
        stop = threading.Event()
        root = self.launcher()

        def sample() -> None:
            while not stop.wait(0.1):
                peaks.append(pss([root, *root.children(recursive=True)]))

        before = pss(self.family())
        sampler = threading.Thread(target=sample)
        with steady(self.url, key=self.key, streams=4, streamed="slow") as client:
            sampler.start()
            for _ in range(swaps):
                reply = self.edit()
                self.kit.run("reload")
                reason = wait(lambda text=reply: "" if client.report().saying(text) else "no answer", Deadline(30))
                if reason:
                    raise SystemExit(reason)
            report = client.stop()
        stop.set()
        sampler.join()
        return report, before, max(peaks)


def measure(rounds: int) -> dict[str, Any]:
    rows: dict[str, list[float]] = {"cold litellm": [], "reload": [], "reload --watch": [], ".env reload": []}
    with (
        tempfile.TemporaryDirectory(prefix="llm-gateway-benchmark-", ignore_cleanup_errors=True) as name,
        serving() as upstream,
    ):
        directory = Path(name)
        directory.chmod(0o755)
        upstream.pace(3.0)
        config = directory / "config.yaml"
        write(config, "reply 0.", upstream)
        kit = Kit(directory / "home")
        data = kit.run("start", "--config", str(config), "--detach", "--no-enable-redis", "--workers=1", *kit.ports)[
            "data"
        ]
        assert isinstance(data, dict)
        bench = Bench(kit, config, upstream, data["url"], data["key"])
        try:
            for number in range(rounds):
                with bench.cold() as (process, seconds):
                    rows["cold litellm"].append(seconds)
                    second = pss([process, *process.children(recursive=True)])
                rows["reload"].append(bench.reload())
                rows["reload --watch"].append(bench.watched())
                rows[".env reload"].append(bench.env_reload())
                print(
                    f"  round {number + 1}: " + ", ".join(f"{row} {values[-1]:.2f} s" for row, values in rows.items())
                )
            report, before, peak = bench.under_load(rounds)
        finally:
            kit.run("stop")
    return {"seconds": rows, "report": report, "before": before, "peak": peak, "second": second}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    found = measure(parser.parse_args().rounds)
    report: Report = found.pop("report")
    medians = {row: statistics.median(values) for row, values in found["seconds"].items()}
    base = medians["cold litellm"]
    print("\n| what | median s | ratio |\n| --- | --- | --- |")
    for row, median in medians.items():
        print(f"| {row} | {median:.2f} | {median / base:.3f} |")
    beside = found["before"] + found["second"]
    memory = {name: round(found[name] / 1e6) for name in ("before", "peak", "second")}
    print(f"\nunder load: {report}")
    print(f"memory MB: before {memory['before']}, peak {memory['peak']}, with a second gateway {round(beside / 1e6)}")
    load = {
        "plain": len(report.of("plain")),
        "streams": len(report.of("stream")),
        "failed": len(report.failures),
        "longest_request": report.longest_request,
        "longest_gap": report.longest_gap,
    }
    ratios = {row: median / base for row, median in medians.items()}
    save("reload", {**found, "medians": medians, "ratios": ratios, "load": load, "memory_mb": memory})


if __name__ == "__main__":
    main()
