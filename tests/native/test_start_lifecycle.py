"""Starting, starting again and stopping: one command from nothing to an answered request, and back."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from support.home import DEMO, Home, home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Home, dict[str, Any]]]:
    """A gateway started from an empty home, for the tests that only look at it."""
    with home() as made:
        yield made, made.start()


def test_from_an_empty_home_to_a_chat_with_the_virtual_key(running: tuple[Home, dict[str, Any]]) -> None:
    made, data = running
    assert [row["outcome"] for row in data["seeded"]] == ["created"] * 5
    answer = made.chat(data["key"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    status = made.ask("status")["data"]
    states = {row["service"]: row["state"] for row in status["services"]}
    assert status["running"] is True
    assert {name: states[name] for name in ("postgres", "redis", "gateway")} == dict.fromkeys(
        ("postgres", "redis", "gateway"), "ready"
    )
    assert {states["langfuse"], states["presidio"], states["lago"]} == {"off"}


def test_every_file_with_a_secret_is_the_owners_alone(running: tuple[Home, dict[str, Any]]) -> None:
    made, data = running
    values = made.values()
    secrets = [values[n] for n in ("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD")]
    secrets.append(data["key"])
    for path in (p for p in made.root.rglob("*") if p.is_file() and "venvs" not in p.parts):
        content = path.read_bytes()
        if any(secret.encode() in content for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
            assert "logs" not in path.parts, path
    for process in made.processes():
        assert not any(secret in " ".join(process.cmdline()) for secret in secrets), process


def test_the_same_start_again_changes_nothing_and_says_so(running: tuple[Home, dict[str, Any]]) -> None:
    made, data = running
    before = sorted(process.pid for process in made.processes())
    again = made.start()
    assert again["already_running"] is True
    assert (again["key"], again["url"], again["config"]) == (data["key"], data["url"], data["config"])
    assert sorted(process.pid for process in made.processes()) == before
    objects = made.ask("seed")["data"]["objects"]
    assert {row["outcome"] for row in objects} == {"unchanged"}
    assert len(objects) == 5
    in_foreground = made.run("start")
    assert in_foreground.returncode == 0
    assert "Already running" in in_foreground.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--config", "other.yaml"], "config"),
        (["--workers", "2"], "workers"),
        (["--no-enable-redis"], "enableRedis"),
        (["--log-level", "info"], "logLevel"),
    ],
)
def test_another_choice_names_restart(
    running: tuple[Home, dict[str, Any]], arguments: list[str], named: str, tmp_path: Path
) -> None:
    made, data = running
    (made.root / "other.yaml").write_text(DEMO.read_text())
    error = made.error("start", "--detach", *arguments, code=1)
    assert error["code"] == "E316"
    assert named in error["message"]
    assert "restart" in error["next"]
    assert made.answers(data["key"]) == ""


def test_a_restart_that_cannot_succeed_stops_nothing(running: tuple[Home, dict[str, Any]], tmp_path: Path) -> None:
    made, data = running
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = str(holder.getsockname()[1])
        assert made.error("restart", "--gateway-port", taken, code=3)["code"] == "E301"
    assert made.error("restart", "--config", "missing.yaml", code=2)["code"] == "E120"
    broken = tmp_path / "broken.yaml"
    broken.write_text(DEMO.read_text() + "router_settings: {routing_strategy: fastest}\n")
    assert made.error("restart", "--config", str(broken), code=1)["code"] == "E124"
    known = {"LITELLM_MASTER_KEY": "sk-password"}
    assert made.error("restart", "--bind", "0.0.0.0", code=2, variables=known)["code"] == "E108"
    assert made.answers(data["key"]) == ""


def test_two_started_at_the_same_moment_share_one_stack() -> None:
    with home() as made:
        starts = [made.popen("start", "--detach", "--json") for _ in range(2)]
        outputs = [start.communicate(timeout=240)[0] for start in starts]
        assert [start.returncode for start in starts] == [0, 0], outputs
        summaries = [json.loads(output)["data"] for output in outputs]
        assert sorted(summary["already_running"] for summary in summaries) == [False, True]
        assert summaries[0]["key"] == summaries[1]["key"]
        assert made.answers(summaries[0]["key"]) == ""
        names = [process.name() for process in made.processes()]
        assert sum("supervisor" in " ".join(process.cmdline()) for process in made.processes()) == 1, names


@pytest.mark.long
def test_an_edited_config_or_env_is_said_at_the_next_start(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(DEMO.read_text())
    with home(config=config) as made:
        made.start("--no-database", "--no-enable-redis")
        config.write_text(DEMO.read_text() + "\n# edited\n")
        warnings = made.ask("start", "--detach")["warnings"]
        assert any(str(config) in warning and "restart" in warning for warning in warnings)
        with made.env_file.open("a") as file:
            file.write("OTHER=1\n")
        warnings = made.ask("start", "--detach")["warnings"]
        assert any(".env" in warning and "restart" in warning for warning in warnings)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_signal_ends_a_foreground_start_and_all_it_started(number: signal.Signals) -> None:
    with home() as made:
        start = made.popen("start", "--json")
        assert start.stdout is not None
        document = _first_document(start)
        made.eventually(lambda: made.answers(document["data"]["key"]), seconds=5)
        start.send_signal(number)
        try:
            out, err = start.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{number.name} did not end it within 10 s\n{made.logs()}")
        assert start.returncode == 0, err
        assert out.strip() == ""  # the summary was the only document
        made.nothing_runs(seconds=0.5)


def test_ctrl_c_reaches_the_whole_group_and_still_ends_in_order() -> None:
    """A terminal sends SIGINT to every process of the foreground group, not only to the first."""
    with home() as made:
        start = made.popen("start", "--json", "--no-enable-redis")
        _first_document(start)
        os.killpg(start.pid, signal.SIGINT)
        start.communicate(timeout=10)
        assert start.returncode == 0
        made.nothing_runs(seconds=0.5)
        # PostgreSQL was shut down, not killed.
        assert "database system is shut down" in (made.root / "logs" / "postgres.log").read_text()


@pytest.mark.long
def test_stop_from_elsewhere_ends_the_foreground_start() -> None:
    with home() as made:
        start = made.popen("start", "--json", "--no-enable-redis")
        _first_document(start)
        assert made.ask("stop")["data"] == {"stopped": True}
        _, err = start.communicate(timeout=10)
        assert start.returncode == 0, err
        made.nothing_runs(seconds=0.5)
        assert made.ask("stop")["data"] == {"stopped": False}


@pytest.mark.long
def test_stop_keeps_keys_spend_and_models() -> None:
    with home() as made:
        first = made.start("--no-enable-redis")
        master = first["ui"]["password"]
        own = made.api("POST", "/key/generate", master, json={"key_alias": "mine", "models": ["demo-chat"]}).json()[
            "key"
        ]
        model = {"model_name": "added", "litellm_params": {"model": "openai/x", "api_key": "k", "mock_response": "hi"}}
        assert made.api("POST", "/model/new", master, json=model).status_code == 200
        assert made.chat(own).status_code == 200

        def spend() -> float:
            return float(made.api("GET", "/key/info", master, params={"key": own}).json()["info"]["spend"])

        made.eventually(lambda: "" if spend() > 0 else "no spend yet", seconds=30)
        spent = spend()
        made.ask("stop")
        made.nothing_runs(seconds=0.5)
        second = made.start()
        assert second["key"] == first["key"]
        assert [row["outcome"] for row in second["seeded"]] == ["unchanged"] * 5
        assert spend() == spent
        made.eventually(lambda: made.answers(own), seconds=5)
        assert made.chat(first["key"], model="added").json()["choices"][0]["message"]["content"] == "hi"


# -- a start that is called off --------------------------------------------------------------------------------------


def _begun(made: Home, *words: str) -> str:
    """A probe: "" as soon as a process of the home has all `words` in its command line."""
    for process in made.processes():
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in words):
            return ""
    return f"no process with {words}"


@pytest.mark.parametrize(
    ("moment", "words"),
    [("initdb", ("initdb",)), ("PostgreSQL", ("postgres", "-D")), ("LiteLLM's import", ("launcher", "--control"))],
)
def test_sigterm_during_a_start_leaves_nothing(moment: str, words: tuple[str, ...]) -> None:
    with home() as made:
        start = made.popen("start", "--json", "--detach")
        made.eventually(lambda: _begun(made, *words), seconds=60)
        start.send_signal(signal.SIGTERM)
        out, err = start.communicate(timeout=15)
        assert start.returncode == 1, f"{moment}: {out}{err}"
        errors = json.loads(out)["errors"]
        assert [error["code"] for error in errors] == ["E314"]
        made.nothing_runs(seconds=0.5)
        assert made.ask("status", code=1)["data"]["running"] is False


def test_a_start_after_one_that_was_called_off_or_killed_works() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        start = made.popen("start", "--detach")
        made.eventually(lambda: _begun(made, "initdb"), seconds=60)
        start.send_signal(signal.SIGINT)
        start.communicate(timeout=15)
        # kill -9 of the command itself: supervisord and the services are orphans now.
        start = made.popen("start", "--detach")
        made.eventually(lambda: _begun(made, "launcher", "--control"), seconds=60)
        start.kill()
        start.communicate(timeout=15)
        data = made.start()
        assert made.answers(data["key"]) == ""
        supervisors = [p for p in made.processes() if "supervisor.supervisord" in " ".join(p.cmdline())]
        assert len(supervisors) == 1


def test_a_start_that_waits_for_another_can_be_called_off() -> None:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        first = made.popen("start", "--detach")
        made.eventually(lambda: _begun(made, "launcher", "--control"), seconds=60)
        second = made.popen("start", "--detach")
        assert second.stderr is not None
        assert "waiting for it" in second.stderr.readline()
        second.send_signal(signal.SIGINT)
        _, err = second.communicate(timeout=5)
        assert second.returncode == 1
        assert "E314" in err
        # A stop calls off the one that is under way.
        assert made.ask("stop")["data"] == {"stopped": True}
        _, err = first.communicate(timeout=10)
        assert first.returncode == 1
        assert "E314" in err
        made.nothing_runs(seconds=0.5)


def _first_document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON document that a foreground start prints when it is ready."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("}"):
            return dict(json.loads("".join(lines)))
    pytest.fail(f"it ended without a summary: {''.join(lines)}{process.communicate()[1]}")
