"""Processes that are killed: everything comes back by itself or by the next `start`, and no data is lost."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from llm_gateway.gateway.control import ask as ask_launcher
from llm_gateway.paths import Home as Paths
from support.home import Home, home, kill

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Home, dict[str, Any]]]:
    """A detached gateway with Redis; each test leaves it whole again."""
    with home() as made:
        yield made, made.start()


def _launcher(made: Home) -> dict[str, Any]:
    return dict(ask_launcher(Paths(made.root).socket("launcher.sock")))


def _worker(made: Home) -> psutil.Process:
    return psutil.Process(next(w["pid"] for w in _launcher(made)["workers"] if w["state"] == "ready"))


def _engine(made: Home) -> psutil.Process:
    (found,) = [p for p in _worker(made).children(recursive=True) if "query-engine" in p.name()]
    return found


VICTIMS = {
    "postgres": lambda made: made.service("postgres"),
    "a PostgreSQL backend": lambda made: made.service("postgres").children()[-1],
    "redis": lambda made: made.service("redis"),
    "launcher": lambda made: made.service("gateway"),
    "nursery": lambda made: psutil.Process(_launcher(made)["nursery"]),
    "worker": _worker,
    "query engine": _engine,
}


@pytest.mark.parametrize("name", VICTIMS)
def test_a_killed_process_is_replaced_and_requests_are_answered(
    running: tuple[Home, dict[str, Any]], name: str
) -> None:
    made, data = running
    master = data["ui"]["password"]
    victim = VICTIMS[name](made)
    pids = {process.pid for process in made.processes()}
    kill(victim)
    psutil.wait_procs([victim], timeout=5)
    made.eventually(lambda: made.answers(data["key"]), seconds=45)

    def database_works() -> str:
        answer = made.api("POST", "/key/generate", master, json={})
        return "" if answer.status_code == 200 else answer.text[:300]

    made.eventually(database_works, seconds=30)
    made.eventually(lambda: "" if made.run("status").returncode == 0 else made.run("status").stdout, seconds=45)
    assert {process.pid for process in made.processes()} != pids


def test_a_killed_supervisor_takes_everything_along_and_the_next_start_brings_it_back() -> None:
    with home() as made:
        data = made.start()
        own = made.api("POST", "/key/generate", data["ui"]["password"], json={}).json()["key"]
        kill(made.service("supervisord"))
        made.nothing_runs(seconds=12)
        status = made.ask("status", code=1)["data"]
        assert {s["state"] for s in status["services"] if s["service"] in {"postgres", "gateway"}} == {"stopped"}
        doctor = made.ask("doctor", code=1)
        assert "D107" in {error["code"] for error in doctor["errors"]}
        again = made.start()
        assert again["already_running"] is False
        assert again["key"] == data["key"]
        assert made.answers(own) == ""


@pytest.mark.long
def test_everything_killed_at_once_comes_back_with_the_next_start() -> None:
    with home() as made:
        data = made.start()
        own = made.api("POST", "/key/generate", data["ui"]["password"], json={}).json()["key"]
        for process in made.processes():
            kill(process)
        made.nothing_runs(seconds=5)
        assert made.start()["key"] == data["key"]
        assert made.answers(own) == ""


@pytest.mark.long
def test_a_foreground_start_revives_a_killed_supervisor() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        start = made.popen("start")
        made.eventually(lambda: "" if (made.state / "running.json").exists() else "not ready", seconds=120)
        key = made.values()["LLM_GATEWAY_VIRTUAL_KEY"]
        made.eventually(lambda: made.answers(key), seconds=10)
        old = made.service("supervisord")
        kill(old)
        made.eventually(lambda: "" if _supervisor(made) not in {0, old.pid} else "not revived", seconds=20)
        made.eventually(lambda: made.answers(key), seconds=60)
        made.eventually(lambda: "" if made.run("status").returncode == 0 else made.run("status").stdout, seconds=20)
        start.send_signal(signal.SIGTERM)
        _, err = start.communicate(timeout=10)
        assert start.returncode == 0, err
        assert "supervisor is gone" in err
        made.nothing_runs(seconds=0.5)


def _supervisor(made: Home) -> int:
    try:
        return int(json.loads((made.state / "supervisord.json").read_text()).get("pid", 0))
    except (OSError, ValueError):
        return 0


@pytest.mark.long
def test_a_service_that_was_stopped_by_hand_is_seen_and_brought_back() -> None:
    with home() as made:
        data = made.start("--no-database")
        redis = made.service("redis")
        redis.send_signal(signal.SIGSTOP)
        try:
            states = {s["service"]: s for s in made.ask("status", code=1)["data"]["services"]}
            assert states["redis"]["state"] in {"starting", "unhealthy"}
            assert "6379" not in states["redis"]["detail"]
        finally:
            redis.send_signal(signal.SIGCONT)
        made.eventually(lambda: "" if made.run("status").returncode == 0 else "not ready", seconds=10)
        assert made.answers(data["key"]) == ""
