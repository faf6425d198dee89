#!/usr/bin/env python3
"""Proportional memory (PSS) of the kit's launcher with two workers against two separate LiteLLM processes.

    python benchmarks/memory.py [--rounds 5] [--requests 240]

PSS counts a shared page once, divided among those who share it, so the sum over a family is what the family
costs. Measured idle and after requests, engines included; PostgreSQL is shown apart.
"""

from __future__ import annotations

import argparse
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import psutil
import stage as staging

from llm_gateway.gateway.control import ask
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stage import Gateway, Stage

WORKERS = 2


def pss(processes: Iterable[psutil.Process]) -> float:
    """MB of proportional memory."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return round(total / 2**20, 1)


def use(gateways: list[Gateway], key: str, requests: int) -> None:
    """Chat requests over new connections, so that every worker gets some."""

    def one(number: int) -> None:
        url = gateways[number % len(gateways)].url
        body = {"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(requests)))


def both_ready(stage: Stage, name: str) -> str:
    workers = ask(stage.folder / f"{name}.sock")["workers"]
    return "" if all(worker["state"] == "ready" for worker in workers) else "a worker is not ready"


def measure(stage: Stage, kind: str, number: int, requests: int) -> tuple[float, float]:
    """Start one kind, measure it idle and used, stop it."""
    if kind == "kit":
        gateways = [stage.kit(f"kit{number}", "--workers", str(WORKERS))]
        wait(lambda: both_ready(stage, f"kit{number}"), Deadline(60))
    else:
        gateways = [stage.bare(f"litellm{number}-{index}") for index in range(WORKERS)]
    key = stage.virtual_key(gateways[0])
    idle = pss(process for gateway in gateways for process in gateway.family())
    use(gateways, key, requests)
    used = pss(process for gateway in gateways for process in gateway.family())
    for gateway in gateways:
        gateway.stop()
    return idle, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=240)
    given = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"litellm": [], "kit": []}
    with staging.stage() as stage:
        assert stage.postgres.process
        for number in range(given.rounds):
            for kind, measured in found.items():
                measured.append(measure(stage, kind, number, given.requests))
                print(f"  {number:>2} {kind:<8} idle {measured[-1][0]} MB, used {measured[-1][1]} MB")
        root = psutil.Process(stage.postgres.process.pid)
        postgres = pss([root, *root.children(recursive=True)])
    medians = {
        kind: {
            "idle_mb": statistics.median(one[0] for one in measured),
            "used_mb": statistics.median(one[1] for one in measured),
        }
        for kind, measured in found.items()
    }
    print(f"\n{'family':<26}{'idle MB':>9}{'used MB':>9}")
    for kind, label in (("litellm", "2 litellm processes"), ("kit", "kit, 2 workers")):
        print(f"{label:<26}{medians[kind]['idle_mb']:>9}{medians[kind]['used_mb']:>9}")
    print(f"{'PostgreSQL besides':<26}{postgres:>9}")
    staging.save(
        "memory",
        {"workers": WORKERS, "requests": given.requests, "pss_mb": medians, "postgres_mb": postgres, "rounds": found},
    )


if __name__ == "__main__":
    main()
