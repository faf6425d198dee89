#!/usr/bin/env python3
"""Masked texts per second and memory: the kit's Presidio against one worker of each official application's design.

    python benchmarks/presidio.py [--rounds 5] [--texts 60]

A masked text is POST /analyze and POST /anonymize, as LiteLLM sends them for a message of 2 kB. Both run in the same
venv with the same model, taking turns. `again` is the same texts a second time, as a chat's history comes with each
of its turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import stage as staging

from llm_gateway import presidio_server
from llm_gateway.bootstrap.install import ensure_uv, ensure_venv
from llm_gateway.masking import PACKAGED
from llm_gateway.probes import Deadline, wait
from llm_gateway.progress import Progress
from llm_gateway.requirements import requirements
from llm_gateway.services.presidio import ENVIRONMENT, PresidioProbe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIZE = 2000
CONCURRENCY = (1, 2, 8)
ENTITIES = ["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE"]
_SENTENCES = (
    "I am John Smith of Boston, write to john.smith{0}@example.com or call 212-555-0{0:03}. ",
    "My card is 4111 1111 1111 1111, my account DE89370400440532013000, and my case has the number {0}. ",
    "The report describes how the team improved the service, and what customers thought about release {0}. ",
    "Could you summarise the discussion, list what is open, and say who should be asked about item {0}? ",
)


def text(number: int) -> str:
    """2 kB that no other number has."""
    words = ""
    while len(words) < SIZE:
        words += _SENTENCES[len(words) % len(_SENTENCES)].format(number)
    return words[:SIZE]


@dataclass(frozen=True)
class Served:
    """A running Presidio."""

    analyzer: int
    anonymizer: int
    processes: Sequence[subprocess.Popen[bytes]]
    ready_seconds: float

    def pss(self) -> float:
        """MB of proportional memory of all its processes."""
        family = [psutil.Process(one.pid) for one in self.processes]
        family += [child for one in family for child in one.children(recursive=True)]
        return round(sum(one.memory_full_info().pss for one in family) / 2**20, 1)

    def masked(self, body: str) -> str:
        found = _post(self.analyzer, "/analyze", {"text": body, "language": "en", "entities": ENTITIES})
        return str(_post(self.anonymizer, "/anonymize", {"text": body, "analyzer_results": found})["text"])


def _post(port: int, path: str, body: dict[str, Any]) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    value = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, value
    return value


@contextmanager
def served(kind: str, python: Path, folder: Path) -> Iterator[Served]:
    """Start one kind; end it."""
    analyzer, anonymizer = staging.free_port(), staging.free_port()
    if kind == "kit":
        server: list[str | Path] = [python, Path(presidio_server.__file__).parent, "--model", f"en={PACKAGED['en']}"]
        commands = [[*server, "--analyzer-port", str(analyzer), "--anonymizer-port", str(anonymizer)]]
        variables = dict(ENVIRONMENT)
    else:
        gunicorn: list[str | Path] = [python, "-m", "gunicorn", "--workers", "1", "--timeout", "120"]
        gunicorn += ["--chdir", Path(__file__).parent, "--log-level", "error"]
        services = {"analyzer": analyzer, "anonymizer": anonymizer}
        commands = [
            [*gunicorn, "--bind", f"127.0.0.1:{port}", f"presidio_flask:{name}()"] for name, port in services.items()
        ]
        variables = {"HOME": str(folder)}
    started = time.monotonic()
    with (folder / f"{kind}.log").open("ab") as log:
        environ = {"PATH": os.environ["PATH"], **variables}
        running = [subprocess.Popen(command, env=environ, stdout=log, stderr=log) for command in commands]
    probe = PresidioProbe(f"http://127.0.0.1:{analyzer}", f"http://127.0.0.1:{anonymizer}")
    try:
        reason = wait(probe, Deadline(90))
        if reason:
            raise SystemExit(f"{kind}: {reason}\n{(folder / f'{kind}.log').read_text()[-2000:]}")
        yield Served(analyzer, anonymizer, running, round(time.monotonic() - started, 2))
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


def rate(one: Served, texts: Sequence[str], at_once: int) -> float:
    """Masked texts per second."""
    with ThreadPoolExecutor(at_once) as pool:
        started = time.monotonic()
        for masked in pool.map(one.masked, texts):
            assert "john.smith" not in masked
        return round(len(texts) / (time.monotonic() - started), 1)


def measure(kind: str, python: Path, folder: Path, count: int) -> dict[str, float]:
    found: dict[str, float] = {}
    with served(kind, python, folder) as one:
        found["ready_s"] = one.ready_seconds
        one.masked(text(0))
        found["idle_mb"] = one.pss()
        for at_once in CONCURRENCY:
            texts = [text(at_once * 10_000 + number) for number in range(count)]
            found[f"c{at_once}"] = rate(one, texts, at_once)
        found["again"] = rate(one, texts, 1)
        found["used_mb"] = one.pss()
    return found


def prepared(folder: Path) -> Path:
    """The interpreter of a venv with the locked Presidio, and with what its containers serve it by."""
    venv = ensure_venv(folder, "presidio", requirements("presidio"), progress=Progress())
    python = venv / "bin" / "python"
    uv = ensure_uv(folder)
    command = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "flask", "gunicorn"]
    subprocess.run(command, check=True)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=60)
    given = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"official": [], "kit": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        python = prepared(Path(place))
        for number in range(given.rounds):
            for kind, measured in rounds.items():
                measured.append(measure(kind, python, Path(place), given.texts))
                print(f"  {number:>2} {kind:<9} {measured[-1]}", flush=True)
    medians = {
        kind: {name: statistics.median(one[name] for one in measured) for name in measured[0]}
        for kind, measured in rounds.items()
    }
    print(f"\n{'median':<10}{'official':>10}{'kit':>10}{'kit/official':>14}")
    for name, theirs in medians["official"].items():
        ours = medians["kit"][name]
        print(f"{name:<10}{theirs:>10}{ours:>10}{ours / theirs:>14.2f}")
    conditions = {"text_bytes": SIZE, "texts": given.texts, "concurrency": CONCURRENCY}
    staging.save("presidio", {**conditions, "median": medians, "rounds": rounds})


if __name__ == "__main__":
    main()
