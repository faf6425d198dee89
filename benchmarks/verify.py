#!/usr/bin/env python3
"""How long `llm-gateway verify` takes on a healthy demo stack: proofs side by side against one after another.

    python benchmarks/verify.py [--rounds 5] [--presidio] [--prometheus]

The stack is the kit's own with two workers: PostgreSQL, Redis, and what the flags add; Langfuse is the tests' double.
One after another is `llm-gateway verify NAME` for each capability, counted by each proof's own seconds, without the
start of the command. The two ways take turns.

Run it with the Python of a venv that has the kit, LiteLLM and the tests' packages, best on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import TYPE_CHECKING, Any

from stage import save

from doubles.langfuse import Langfuse
from doubles.server import running
from support.home import free_ports, home

if TYPE_CHECKING:
    from support.home import Home


def verified(made: Home, *names: str) -> dict[str, Any]:
    """The data of one verify; the benchmark ends where something is not proven."""
    done = made.run("verify", *names, "--json")
    if done.returncode:
        sys.exit(f"not proven, so its time says nothing: {done.stdout}{done.stderr}")
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def one_by_one(made: Home, names: list[str]) -> float:
    """Seconds of each proof by itself, added."""
    return sum(float(verified(made, name)["seconds"]) for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--presidio", action="store_true")
    parser.add_argument("--prometheus", action="store_true")
    asked = parser.parse_args()
    analyzer, anonymizer, prometheus = free_ports(3)
    with running(Langfuse()) as langfuse:
        flags = [f"{name}={value}" for name, value in langfuse.environment().items()]
        flags += ["LLM_GATEWAY_WORKERS=2", "LLM_GATEWAY_ENABLE_LANGFUSE=true"]
        flags += [f"LLM_GATEWAY_ENABLE_PRESIDIO={asked.presidio}", f"LLM_GATEWAY_ENABLE_PROMETHEUS={asked.prometheus}"]
        flags += [f"LLM_GATEWAY_PRESIDIO_ANALYZER_PORT={analyzer}", f"LLM_GATEWAY_PROMETHEUS_PORT={prometheus}"]
        flags += [f"LLM_GATEWAY_PRESIDIO_ANONYMIZER_PORT={anonymizer}"]
        with home(*flags) as made:
            made.start()
            states = {item["capability"]: item["state"] for item in verified(made)["capabilities"]}
            names = [name for name, state in states.items() if state == "proven"]
            beside, after = [], []
            for _ in range(asked.rounds):
                beside.append(float(verified(made)["seconds"]))
                after.append(one_by_one(made, names))
    result = {
        "proven": names,
        "side_by_side_seconds": statistics.median(beside),
        "one_after_another_seconds": statistics.median(after),
        "ratio": statistics.median(beside) / statistics.median(after),
        "rounds": {"side_by_side": beside, "one_after_another": after},
    }
    print(f"{len(names)} capabilities: {', '.join(names)}")
    print(f"side by side       {result['side_by_side_seconds']:6.1f} s")
    print(f"one after another  {result['one_after_another_seconds']:6.1f} s")
    print(f"ratio              {result['ratio']:6.2f}")
    save("verify", result)


if __name__ == "__main__":
    main()
