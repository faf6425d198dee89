"""Whatever dies is replaced or takes nobody with it, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import ExitStack

import httpx
import psutil
import pytest

from llm_gateway.gateway.control import ask
from support.launcher import CHAT, MOCK_MODEL, gone, launched, until
from support.openai_upstream import serving


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two workers that the tests of this module kill in turn."""
    with launched(tmp_path_factory.mktemp("pair"), None, "--workers", "2") as gateway:
        yield gateway.ready(2)


def test_two_workers_both_serve(pair):
    pids = pair.workers()
    before = {pid: psutil.Process(pid).cpu_times().user for pid in pids}

    def both_worked() -> bool:
        for _ in range(10):
            assert pair.chat().json()["choices"][0]["message"]["content"] == "hello there"
        return all(psutil.Process(pid).cpu_times().user > before[pid] for pid in pids)

    until(both_worked, reason="one of two workers never answered")


def test_connections_opened_together_are_shared_out(pair):
    """uvloop's own listener gives nearly all of them to one worker."""
    host, port = pair.address.removeprefix("http://").split(":")

    def held(pid: int) -> int:
        connections = psutil.Process(pid).net_connections(kind="tcp")
        return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == int(port) for one in connections)

    def shares() -> list[int]:
        counts = [held(pid) for pid in pair.workers()]
        return counts if sum(counts) == 16 else []

    with ExitStack() as clients:
        for _ in range(16):
            client = clients.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex((host, int(port)))
        assert min(until(shares)) >= 4


def test_the_supervisor_is_small(pair):
    assert psutil.Process(pair.process.pid).memory_full_info().uss < 25 * 2**20


def test_the_control_socket_answers_its_owner_only(pair):
    assert oct(pair.control.stat().st_mode & 0o777) == "0o600"
    status = pair.status()
    assert status["pid"] == pair.process.pid
    assert status["nursery"] in {process.pid for process in pair.family()}
    assert status["preload"] is True
    assert status["version"] == "1.106.2"
    assert {worker["state"] for worker in status["workers"]} == {"ready"}
    assert ask(pair.control, do="nonsense") == {"error": "unknown request"}


def test_a_killed_worker_is_replaced_at_once(pair):
    victim, other = pair.workers()
    started = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in pair.workers() and len(pair.workers()) == 2)
    assert time.monotonic() - started < 2
    assert other in pair.workers()
    assert pair.chat().status_code == 200
    assert sum(worker["restarts"] for worker in pair.status()["workers"]) >= 1


def test_a_killed_nursery_takes_no_worker_with_it(pair):
    nursery, workers = pair.status()["nursery"], pair.workers()
    os.kill(nursery, signal.SIGKILL)
    until(lambda: pair.status()["nursery"] != nursery)
    for _ in range(20):
        assert pair.chat().status_code == 200
    assert pair.workers() == workers
    # and the new one forks: a worker killed now comes back
    os.kill(workers[0], signal.SIGKILL)
    until(lambda: len(pair.workers()) == 2 and workers[0] not in pair.workers(), seconds=60)
    assert pair.chat().status_code == 200


def test_everything_but_the_supervisor_killed_at_once_waits_instead_of_refusing(pair):
    status = pair.status()
    for pid in (status["nursery"], *pair.workers()):
        os.kill(pid, signal.SIGKILL)
    # the socket lives on, so this waits for the next worker in the backlog
    assert httpx.get(f"{status['address']}/health/liveliness", timeout=90, trust_env=False).status_code == 200
    pair.ready(2)


def test_a_killed_supervisor_leaves_nobody(tmp_path):
    with launched(tmp_path, None, "--workers", "2") as gateway:
        gateway.ready(2)
        family, address = gateway.family(), gateway.address
        assert len(family) == 4
        gateway.process.kill()
        gateway.process.wait()
        gone(family)
        host, port = address.removeprefix("http://").split(":")
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((host, int(port)))


def test_a_supervisor_killed_during_the_import_takes_the_nursery_along_at_once(tmp_path):
    with launched(tmp_path) as gateway:
        until(lambda: len(gateway.family()) > 1)
        until(lambda: "nursery" in " ".join(gateway.family()[1].cmdline()))
        family = gateway.family()
        gateway.process.kill()
        gateway.process.wait()
        gone(family, seconds=1)


def test_what_a_worker_started_ends_with_it(tmp_path):
    """A query engine of Prisma's own does not look after its parent."""
    (tmp_path / "starter.py").write_text(
        "import subprocess\n"
        "from litellm.integrations.custom_logger import CustomLogger\n"
        "engine = subprocess.Popen(['sleep', '300'])\n"
        "handler = CustomLogger()\n"
    )
    config = {"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["starter.handler"]}}
    with launched(tmp_path, config) as gateway:
        (worker,) = gateway.ready().workers()
        started = psutil.Process(worker).children()
        assert [process.name() for process in started] == ["sleep"]
        os.kill(worker, signal.SIGKILL)
        gone(started, seconds=2)


def test_sigterm_lets_a_stream_end(tmp_path):
    with serving() as upstream, launched(tmp_path, {"model_list": [upstream.model()]}, "--workers", "2") as gateway:
        gateway.ready(2)
        family = gateway.family()
        upstream.gate.clear()
        with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
        ):
            lines = answer.iter_lines()
            assert "first" in next(lines)
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: not psutil.pid_exists(family[1].pid) or family[1].status() == "zombie")
            upstream.gate.set()
            rest = list(lines)
        assert "data: [DONE]" in rest
        assert gateway.process.wait(10) == 0
        gone(family)


def test_sigterm_cuts_a_stream_that_outlasts_the_limit(tmp_path):
    with (
        serving() as upstream,
        launched(tmp_path, {"model_list": [upstream.model()]}, "--graceful-timeout", "1") as gateway,
    ):
        gateway.ready()
        family = gateway.family()
        upstream.gate.clear()
        with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
        ):
            assert "first" in next(answer.iter_lines())
            started = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - started < 5
        gone(family)


def test_a_second_signal_cuts_at_once(tmp_path):
    with (
        serving() as upstream,
        launched(tmp_path, {"model_list": [upstream.model()]}, "--graceful-timeout", "60") as gateway,
    ):
        gateway.ready()
        family = gateway.family()
        upstream.gate.clear()
        with (
            gateway.client() as client,
            client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer,
        ):
            assert "first" in next(answer.iter_lines())
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: gateway.status()["workers"][0]["state"] == "stopping")
            started = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - started < 3
        gone(family)


def test_sigterm_during_the_import_ends_quickly(tmp_path):
    with launched(tmp_path) as gateway:
        until(gateway.control.exists)
        until(lambda: len(gateway.family()) > 1)
        family = gateway.family()
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 3
        assert not gateway.control.exists()
        gone(family)


def test_idle_keep_alive_connections_do_not_hold_up_the_end(tmp_path):
    with launched(tmp_path, {"model_list": [MOCK_MODEL]}) as gateway:
        gateway.ready()
        with gateway.client() as client:
            assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
            started = time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - started < 3
