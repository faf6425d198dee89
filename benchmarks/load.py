"""A closed-loop load generator for chat requests: wrk where it is installed, else an asyncio client.

python benchmarks/load.py URL CONNECTIONS SECONDS < KEY_FILE      # the asyncio client, prints JSON
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

BODY = json.dumps({"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]})
PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Load:
    """What one round measured."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def generator() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio"


def run(url: str, key: str, *, connections: int, seconds: int) -> Load:
    """One round against a gateway, from another process."""
    if generator() == "wrk":
        return _wrk(url, key, connections, seconds)
    command = [sys.executable, __file__, url, str(connections), str(seconds)]
    done = subprocess.run(command, input=key.encode(), check=True, capture_output=True)
    return Load(**json.loads(done.stdout))


def _wrk(url: str, key: str, connections: int, seconds: int) -> Load:
    script = (
        'wrk.method = "POST"\n'
        f"wrk.body = {json.dumps(BODY)}\n"
        'wrk.headers["content-type"] = "application/json"\n'
        f'wrk.headers["authorization"] = "Bearer {key}"\n'
        "function done(summary, latency, requests)\n"
        "  local e = summary.errors\n"
        '  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / (summary.duration / 1e6),\n'
        "    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,\n"
        "    e.connect + e.read + e.write + e.status + e.timeout))\n"
        "end\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "load.lua")
        file.write_text(script)
        file.chmod(0o600)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(file), url + PATH]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", out)
    assert found, out
    return Load(*(round(float(value), 1) for value in found.groups()[:3]), failed=int(found[4]))


async def _client(url: str, key: str, connections: int, seconds: float) -> Load:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    request = (
        f"POST {PATH} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()
    times: list[float] = []
    failed = 0
    end = time.monotonic() + seconds

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, port)
        while time.monotonic() < end:
            started = time.monotonic()
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            found = re.search(rb"content-length: (\d+)", head)
            assert found, head
            await reader.readexactly(int(found[1]))
            times.append((time.monotonic() - started) * 1000)
            failed += not head.startswith(b"http/1.1 200")
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    cuts = statistics.quantiles(times, n=100)
    return Load(round(len(times) / seconds, 1), round(cuts[49], 1), round(cuts[98], 1), failed)


if __name__ == "__main__":
    _, target, count, duration = sys.argv
    print(json.dumps(asdict(asyncio.run(_client(target, sys.stdin.read(), int(count), float(duration))))))
