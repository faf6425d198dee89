"""The importing parent: loads LiteLLM once, never serves, forks workers on request.

A worker forked from it is ready in a fraction of a second and shares the parent's pages. It runs no event
loop, no request, no tokenizer and no thread: none of these survives a fork. Workers are forked twice, so that
they belong to the supervisor and outlive a nursery that ends.

Run as `python -m llm_gateway.gateway.nursery SUPERVISOR_PID LISTENER_FD CHANNEL_FD`. On the channel
(a Unix packet socket) it says `{"state": "ready", "version"}` or `{"state": "refused", "reason"}` or
`{"state": "failed", "reason"}`; each message `{"announce": bool, "settings": {…}}` with one descriptor (the
worker's pipe) asks for one worker. The end of the channel ends the nursery.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import json
import os
import signal
import socket
import sys
from pathlib import Path

from llm_gateway.gateway import samples
from llm_gateway.gateway.messages import Report, encode, one_line
from llm_gateway.gateway.options import WorkerSettings
from llm_gateway.gateway.processes import die_with, lead_a_group, thread_count, wait_for_parent

LAZY_MODULES = Path(__file__).with_name("lazy_modules.json")
EAGER_MODULES = (
    "litellm.proxy.proxy_server",
    "litellm.proxy.proxy_cli",
    "uvloop",
    "httptools",
    "llm_gateway.gateway.worker",
)
# What the start-up with a database imports: the generated client alone takes a second.
_DATABASE_MODULES = ("prisma", "prisma.client")
_ADOPTION_SECONDS = 5.0
_LARGEST_ORDER = 65536  # two paths and some numbers


def preload() -> None:
    """Import what a worker needs until after its first requests, and forbid native routes in this process."""
    samples.adopt()
    for name in EAGER_MODULES:
        importlib.import_module(name)
    for name in lazy_modules():
        # a module that cannot be imported alone costs its first user some time, nothing else
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    guard = importlib.import_module("litellm.rust_bridge.fork_guard")
    guard.reserve_process_for_forking("the kit's nursery")


def lazy_modules() -> list[str]:
    """What LiteLLM imports while it starts up and answers first requests, recorded for exactly one version.

    With a database its start-up imports 200 more, which was half of the time that a forked worker needed.
    """
    recorded = json.loads(LAZY_MODULES.read_text(encoding="utf-8"))
    database = bool(os.environ.get("DATABASE_URL"))
    names = [*_DATABASE_MODULES] if database else []
    if recorded["litellm"] == importlib.metadata.version("litellm"):
        names += [*recorded["modules"], *(recorded["with_database"] if database else ())]
    return names


def refresh_identity() -> None:
    """Give a forked worker what must differ between processes and was made in the parent.

    `random`, `uuid` and `secrets` take care of themselves; numpy's global generator is copied, and so is the
    identity with which LiteLLM's proxy takes locks in Redis (proxy/db/db_transaction_queue/pod_lock_manager.py).
    """
    import uuid  # noqa: PLC0415 - loaded by LiteLLM long before

    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    proxy = sys.modules["litellm.proxy.proxy_server"]
    with contextlib.suppress(AttributeError):
        proxy.proxy_logging_obj.db_spend_update_writer.pod_lock_manager.pod_id = str(uuid.uuid4())


class Nursery:
    """The nursery's side of the channel."""

    def __init__(self, channel: socket.socket, listener: socket.socket, *, supervisor: int) -> None:
        self._channel = channel
        self._listener = listener
        self._supervisor = supervisor

    def say(self, **message: str) -> None:
        self._channel.sendall(encode(dict(message)))

    def run(self) -> int:
        """Fork a worker per message until the channel ends. Returns this process's exit code, or a worker's."""
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self._channel, _LARGEST_ORDER, 1)
            if not packet:
                return 0
            order = json.loads(packet)
            code = self._fork(descriptors[0], WorkerSettings(**order["settings"]), announce=order["announce"])
            if code is not None:
                return code

    def _fork(self, descriptor: int, settings: WorkerSettings, *, announce: bool) -> int | None:
        """None in the nursery; the exit code in a worker, after it has served."""
        middle = os.fork()
        if middle:
            os.close(descriptor)
            os.waitpid(middle, 0)
            return None
        if os.fork():
            os._exit(0)
        self._channel.close()
        return self._work(Report(descriptor), settings, announce=announce)

    def _work(self, report: Report, settings: WorkerSettings, *, announce: bool) -> int:
        from llm_gateway.gateway.worker import serve  # noqa: PLC0415 - imported by preload

        lead_a_group()
        if not wait_for_parent(self._supervisor, _ADOPTION_SECONDS):
            os._exit(1)
        die_with(self._supervisor, signal.SIGTERM)
        report.send(pid=os.getpid())
        samples.take_number()
        refresh_identity()
        return serve(self._listener, settings, report, supervisor=self._supervisor, announce=announce)


def main(arguments: list[str]) -> int:
    supervisor, listener, channel = arguments
    lead_a_group()
    die_with(int(supervisor), signal.SIGKILL)
    nursery = Nursery(
        socket.socket(fileno=int(channel)),
        socket.socket(fileno=int(listener)),
        supervisor=int(supervisor),
    )
    try:
        preload()
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor tells it in one line
        nursery.say(state="failed", reason=one_line(error))
        return 1
    threads = thread_count()
    if threads != 1:
        nursery.say(state="refused", reason=f"importing LiteLLM left {threads} threads instead of 1")
        return 0
    # without the freeze the first collection in a child touches, and so copies, every page
    gc.collect()
    gc.freeze()
    nursery.say(state="ready", version=importlib.metadata.version("litellm"))
    return nursery.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
