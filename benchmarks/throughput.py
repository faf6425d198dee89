#!/usr/bin/env python3
"""Requests per second of the kit's launcher against one bare LiteLLM worker on the same database.

    python benchmarks/throughput.py [--rounds 5] [--seconds 8] [--connections 16] [--workers N]

Both gateways stay up; rounds alternate between them, so that a busy machine is busy for both. Every request
carries a virtual key and leaves a spend row, which is counted at the end. Server, database, model server and
load generator share the machine: only the ratio means something, and only on a machine that does nothing else.
The processor time per request (gateway and engines) also says something on a busy one.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import load
import psutil
import stage as staging

from llm_gateway.gateway.environment import workers_default
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from load import Load
    from stage import Gateway, Stage


@dataclass(frozen=True)
class Round:
    """A measured round and the processor time that the gateway spent on each of its requests."""

    load: Load
    cpu_ms: float


def measure(stage: Stage, gateways: list[Gateway], given: argparse.Namespace) -> dict[str, list[Round]]:
    """Alternate rounds; the first one of each only warms up."""
    keys = {gateway.name: stage.virtual_key(gateway) for gateway in gateways}
    results: dict[str, list[Round]] = {gateway.name: [] for gateway in gateways}
    for number in range(given.rounds + 1):
        for gateway in gateways:
            seconds = given.seconds if number else 3
            before = gateway.cpu_seconds()
            found = load.run(gateway.url, keys[gateway.name], connections=given.connections, seconds=seconds)
            cpu = (gateway.cpu_seconds() - before) * 1000 / max(1.0, found.requests_per_second * seconds)
            print(f"  {number:>2} {gateway.name:<8} {found} {cpu:.2f} ms processor time per request")
            if number:
                results[gateway.name].append(Round(found, round(cpu, 2)))
    return results


def summary(rounds: list[Round]) -> dict[str, float]:
    loads = [one.load for one in rounds]
    return {
        "requests_per_second": round(statistics.median(one.requests_per_second for one in loads), 1),
        "p50_ms": round(statistics.median(one.p50_ms for one in loads), 1),
        "p99_ms": round(statistics.median(one.p99_ms for one in loads), 1),
        "cpu_ms": round(statistics.median(one.cpu_ms for one in rounds), 2),
        "failed": sum(one.failed for one in loads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0, help="0: the kit's default for this machine")
    given = parser.parse_args()
    workers = given.workers or workers_default(psutil.cpu_count() or 1, psutil.virtual_memory().total)
    quiet = staging.machine()
    with staging.stage() as stage:
        gateways = [stage.bare(), stage.kit("kit", "--workers", str(workers))]
        before = stage.spend_rows()
        results = measure(stage, gateways, given)
        seen: list[int] = []

        def settled() -> str:
            seen.append(stage.spend_rows())
            return "" if len(seen) > 6 and len(set(seen[-6:])) == 1 else "rows are still written"

        wait(settled, Deadline(60))
        rows = seen[-1] - before
        for gateway in gateways:
            print(f"  {gateway.name}: log {gateway.log.stat().st_size / 1024:.0f} KiB")
    medians = {name: summary(rounds) for name, rounds in results.items()}
    ratio = round(medians["kit"]["requests_per_second"] / medians["litellm"]["requests_per_second"], 2)
    print(f"\n{'gateway':<10}{'workers':>8}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}{'failed':>8}")
    for name, count in (("litellm", 1), ("kit", workers)):
        row = medians[name]
        print(
            f"{name:<10}{count:>8}{row['requests_per_second']:>9}{row['p50_ms']:>9}{row['p99_ms']:>9}{row['cpu_ms']:>9}{row['failed']:>8}"
        )
    print(f"ratio {ratio} (goal on 2 cores: 2), spend rows written {rows}, load by {load.generator()}")
    staging.save(
        "throughput",
        {
            "load_average_before": quiet["load_average"],
            "workers": workers,
            "connections": given.connections,
            "seconds": given.seconds,
            "load": load.generator(),
            "medians": medians,
            "ratio": ratio,
            "spend_rows": rows,
            "rounds": {name: [asdict(one) for one in rounds] for name, rounds in results.items()},
        },
    )


if __name__ == "__main__":
    main()
