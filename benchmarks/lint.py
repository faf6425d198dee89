"""Lint a config of 1,000 models, beside LiteLLM's own validation of the same file.

    python benchmarks/lint.py [--models 1000] [--runs 5] [--without-litellm] [--json FILE]

Each run is a new process; wall time and the processor's seconds include the interpreter's start. LiteLLM's validation
looks at less (no unknown keys, no references), so the comparison is of what a person waits for, not of equal work.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROVIDERS = ("openai/gpt-4o", "anthropic/claude-sonnet-4-5", "azure/gpt-4o", "hosted_vllm/own-model")


def config(count: int) -> str:
    """`count` models as people write them: block style, a comment here and there, fallbacks."""
    lines = ["model_list:"]
    for number in range(count):
        lines += [
            f"  - model_name: model-{number}  # team {number % 40}",
            "    litellm_params:",
            f"      model: {PROVIDERS[number % 4]}",
            f"      api_base: https://region-{number}.example.com",
            "      api_key: os.environ/OPENAI_API_KEY",
            f"      rpm: {number + 1}",
            "      timeout: 60",
            "    model_info:",
            "      mode: chat",
            "      input_cost_per_token: 0.000001",
        ]
    pairs = "\n".join(f"    - model-{n}: [model-{n + 1}]" for n in range(0, count - 1, 10))
    return "\n".join(lines) + f"\nlitellm_settings:\n  drop_params: true\n  fallbacks:\n{pairs}\n"


def run(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command} failed: {done.stderr.decode()[-500:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-litellm", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config(given.models), encoding="utf-8")
        env = {
            **os.environ,
            "LLM_GATEWAY_HOME": folder,
            "OPENAI_API_KEY": "sk-benchmark",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MODE": "PRODUCTION",
        }
        commands = {"llm-gateway lint": [sys.executable, "-m", "llm_gateway", "lint", str(path)]}
        if not given.without_litellm:
            litellm = str(Path(sys.executable).parent / "litellm")
            commands["litellm --validate_config"] = [litellm, "--config", str(path), "--validate_config"]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(given.runs):  # in turn, so that both meet the same machine
            for name, command in commands.items():
                times[name].append(run(command, env))
    rows = {
        name: {"wall": statistics.median(wall for wall, _ in found), "cpu": statistics.median(cpu for _, cpu in found)}
        for name, found in times.items()
    }
    print(f"{given.models} models, {given.runs} runs, medians in seconds")
    for name, row in rows.items():
        print(f"{name:<28} wall {row['wall']:6.2f}   cpu {row['cpu']:6.2f}")
    if given.json:
        given.json.write_text(json.dumps({"models": given.models, "runs": given.runs, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
