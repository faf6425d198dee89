"""Many real starts of LiteLLM in little time: it is imported once, and forked for every config.

`python many_starts.py FOLDER` goes over FOLDER/*/config.yaml. Each gets a process of its own that runs the gateway's
worker (LiteLLM's app with its whole start-up) on a port of its own, and one chat request. One JSON line for each on
stdout: name, whether it became ready, why not, and the answer's status.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway.gateway import nursery, options
from llm_gateway.gateway.environment import quiet_environment
from llm_gateway.gateway.messages import Lines, Report
from llm_gateway.gateway.processes import die_with, thread_count

if TYPE_CHECKING:
    from collections.abc import Mapping

READY_SECONDS, ANSWER_SECONDS = 60.0, 30.0
MODEL = "demo-chat"


@dataclass(frozen=True)
class Started:
    """What became of one config: `answer` is the status of a chat request, 0 where nobody answered."""

    ready: bool
    reason: str
    answer: int
    log: str

    @property
    def works(self) -> bool:
        return self.answer == 200


def start_all(folder: Path, configs: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, Started]:
    """Start LiteLLM once with each config, in a folder of its own below `folder`."""
    folders = {}
    for number, (name, text) in enumerate(configs.items()):
        own = folders[name] = folder / f"{number:03}"
        own.mkdir()
        (own / "config.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", __file__, str(folder)],  # -P: names beside this file, litellm among them, hide packages
        env={**variables, "OPENBLAS_NUM_THREADS": "1"},  # numpy starts threads otherwise, which a fork loses
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {line.pop("name"): line for line in map(json.loads, done.stdout.splitlines())}
    return {
        name: Started(**found[own.name], log=(own / "log").read_text(encoding="utf-8", errors="replace"))
        for name, own in folders.items()
    }


def main(folder: Path) -> None:
    os.environ.update(quiet_environment())
    nursery.preload()
    assert thread_count() in {0, 1}, "a fork would lose threads"
    gc.collect()
    gc.freeze()
    folders = sorted(path.parent for path in folder.glob("*/config.yaml"))
    lanes = os.cpu_count() or 1
    working = [_lane(folders[number::lanes], parent=os.getpid()) for number in range(lanes)]
    sys.exit(sum(os.waitpid(pid, 0)[1] for pid in working) and 1)


def _lane(folders: list[Path], *, parent: int) -> int:
    """A process that starts one config after the other."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        die_with(parent, signal.SIGKILL)
        for own in folders:
            line = json.dumps({"name": own.name, **_start(own)}) + "\n"
            os.write(1, line.encode())  # whole: the reasons are shorter than what a pipe takes at once
        code = 0
    finally:
        os._exit(code)


def _start(own: Path) -> dict[str, Any]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    reading, writing = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _work(own, listener, writing, supervisor=supervisor)
    os.close(writing)
    listener.close()
    try:
        said = _outcome(reading)
        ready = said.get("state") == "ready"
        return {"ready": ready, "reason": said.get("reason", ""), "answer": _chat(port) if ready else 0}
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _work(own: Path, listener: socket.socket, writing: int, *, supervisor: int) -> None:
    """The child: never returns."""
    code = 1
    try:
        die_with(supervisor, signal.SIGKILL)
        log = os.open(own / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        os.chdir(own)
        from llm_gateway.gateway.worker import serve

        nursery.refresh_identity()
        told = ["--config", str(own / "config.yaml"), "--modules", str(own), "--control", str(own / "control")]
        settings = options.parse(told).worker_settings
        code = serve(listener, settings, Report(writing), supervisor=supervisor, announce=False)
    finally:
        os._exit(code)


def _outcome(reading: int) -> dict[str, Any]:
    """What the worker says about itself in the end."""
    lines, said = Lines(), {}
    while "state" not in said:
        if not select.select([reading], [], [], READY_SECONDS)[0]:
            return {"reason": f"silent for {READY_SECONDS:.0f} s"}
        chunk = os.read(reading, 65536)
        if not chunk:
            return {"reason": "ended without a word"}
        for message in lines.feed(chunk):
            said |= message
    return said


def _chat(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}]})
    key = os.environ["LITELLM_MASTER_KEY"]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
