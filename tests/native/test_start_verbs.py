"""Every verb: one valid document on stdout with --json, the documented exit codes, and only its own doing."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from llm_gateway.cli.app import VERBS
from support.home import DEMO, Home, home

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def made() -> Iterator[Home]:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as fresh:
        yield fresh


# What each verb answers in a home where nothing runs: arguments and exit code.
IDLE = {
    "init": ([], 0),
    "plan": ([], 0),
    "start": (["--config", "missing.yaml"], 2),
    "stop": ([], 0),
    "restart": (["--config", "missing.yaml"], 2),
    "reload": ([], 3),
    "status": ([], 1),
    "logs": (["gateway"], 0),
    "seed": ([], 3),
    "lint": ([str(DEMO)], 0),
    "verify": ([], 3),
    "config": (["models", str(DEMO)], 0),
    "connect": ([], 0),
    "doctor": ([], 0),
    "exec": (["--", "no-such-program"], 2),
    "down": ([], 0),
}


def test_every_verb_prints_one_document_and_nothing_else(made: Home) -> None:
    assert set(IDLE) == set(VERBS)
    for verb, (arguments, code) in IDLE.items():
        words = [verb, *arguments]
        words.insert(words.index("--") if "--" in words else len(words), "--json")
        done = made.run(*words)
        envelope = json.loads(done.stdout)
        assert done.returncode == code, done.stdout
        assert set(envelope) == {"schema", "verb", "ok", "data", "warnings", "errors"}
        assert (envelope["verb"].split()[0], envelope["ok"]) == (verb, code == 0)
        assert all(set(error) == {"code", "message", "cause", "next"} for error in envelope["errors"])
        assert bool(envelope["errors"]) == (code > 1)
        # For people: data on stdout, errors on stderr, never a traceback.
        plain = made.run(verb, *arguments)
        assert plain.returncode == code
        assert ("Next:" in plain.stderr) == (code > 1)
        assert "Traceback" not in plain.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["strat"], "strat"),
        (["status", "--verbose"], "--verbose"),
        (["connect", "--format", "json"], "json"),
        (["logs", "-n", "many"], "many"),
        (["exec"], "COMMAND_LINE"),
    ],
)
def test_a_bad_command_line_is_input_not_a_crash(made: Home, arguments: list[str], says: str) -> None:
    done = made.run(*arguments, "--json")
    (error,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, error["code"]) == (2, "E114")
    assert says in error["message"]
    assert made.run(*arguments).returncode == 2


def test_help_is_help(made: Home) -> None:
    for arguments in (["--help"], ["start", "-h"], ["--version"]):
        done = made.run(*arguments)
        assert done.returncode == 0
        assert done.stdout
        assert not done.stderr
    bare = made.run()
    assert bare.returncode in {0, 2}
    assert all(verb in bare.stdout + bare.stderr for verb in VERBS)


def test_logs_of_no_service_and_without_an_end(made: Home) -> None:
    assert made.error("logs", "databse", code=2)["code"] == "E317"
    assert made.error("logs", "--follow", code=2)["code"] == "E319"


def test_exec_gives_the_home_s_variables_and_the_command_s_exit_code(made: Home) -> None:
    made.ask("init")
    key = made.values()["LITELLM_MASTER_KEY"]
    done = made.run("exec", "--", "sh", "-c", 'printf %s "$LITELLM_MASTER_KEY"; exit 7')
    assert (done.stdout, done.returncode) == (key, 7)
    assert made.run("exec", "--", "python", "-c", "import litellm").returncode == 0
    overridden = made.run("exec", "--", "printenv", "LITELLM_MASTER_KEY", variables={"LITELLM_MASTER_KEY": "mine"})
    assert overridden.stdout == "mine\n"
    kept = made.run("exec", "--", "printenv", "LITELLM_MASTER_KEY", variables={"LITELLM_MASTER_KEY": ""})
    assert kept.stdout == f"{key}\n"


def test_init_twice_changes_nothing(made: Home) -> None:
    assert made.ask("init")["data"]["env_written"] is True
    before = {path: path.read_bytes() for path in made.state.rglob("*") if path.is_file()}
    assert made.ask("init")["data"]["env_written"] is False
    assert {path: path.read_bytes() for path in made.state.rglob("*") if path.is_file()} == before


def test_down_deletes_the_data_it_made_and_nothing_else_after_asking(made: Home) -> None:
    made.ask("init")
    data = made.state / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    own = [made.state / "mine.txt", made.state / "backups" / "backup-1.dump", made.root / "configs" / "mine.yaml"]
    for path in own:
        path.write_text("mine")
    kept = [*own, made.env_file, made.root / ".env"]
    assert made.run("down").returncode == 0
    assert made.error("down", "--volumes", code=1)["code"] == "E318"
    for answer in ("", "n\n"):
        refused = made.run("down", "--volumes", stdin=answer)
        assert refused.returncode == 1
        assert str(data) in refused.stderr
    assert data.exists()
    assert made.run("down", "--volumes", stdin="y\n").returncode == 0
    assert not data.exists()
    assert all(path.exists() for path in kept)
    data.mkdir()
    (data / "PG_VERSION").write_text("15\n")
    assert str(data) in made.ask("down", "--volumes", "--yes")["data"]["removed"]
    assert not data.exists()
    assert all(path.exists() for path in kept)
    assert made.ask("down", "--volumes", "--yes")["ok"]


def test_output_into_a_closed_pipe_is_no_crash(made: Home) -> None:
    made.ask("init")
    line = f"{' '.join(made._command())} plan | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=made.environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "E199" not in done.stderr
