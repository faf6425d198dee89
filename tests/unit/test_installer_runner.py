"""Installers end within their limit, say nothing secret, and their failures get a name."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from llm_gateway.bootstrap.failures import failure
from llm_gateway.bootstrap.locks import exclusive
from llm_gateway.bootstrap.runner import Outcome, Runner
from llm_gateway.errors import DeadlineError, PreconditionError
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from pathlib import Path


def runner(tmp_path: Path, *, seconds: float = 30, secrets: tuple[str, ...] = ()) -> Runner:
    return Runner(tmp_path / "logs/install.log", time.monotonic() + seconds, secrets)


def test_lines_arrive_while_it_runs_and_secrets_do_not(tmp_path: Path) -> None:
    told: list[str] = []
    outcome = runner(tmp_path, secrets=("hunter22",)).run(
        [sys.executable, "-c", "print('one https://bob:pw@host/'); print('hunter22'); raise SystemExit(7)"],
        env=dict(os.environ),
        cwd=tmp_path,
        tell=told.append,
    )
    assert (outcome.code, outcome.ok) == (7, False)
    assert told == ["one https://***@host/", "***"]
    log = tmp_path / "logs/install.log"
    assert "hunter22" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


def test_the_deadline_ends_the_command_and_its_children(tmp_path: Path) -> None:
    child = "subprocess.Popen(['cat'], stdin=subprocess.PIPE)"
    script = f"import subprocess; p = {child}; print(p.pid, flush=True); p.wait()"
    told: list[str] = []
    started = time.monotonic()
    outcome = runner(tmp_path, seconds=1).run(
        [sys.executable, "-c", script], env=dict(os.environ), cwd=tmp_path, tell=told.append
    )
    assert outcome.timed_out
    assert time.monotonic() - started < 10
    assert not wait(lambda: "still there" if _is_alive(int(told[0])) else "", Deadline(5))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_lock_that_is_not_released_ends_waiting(tmp_path: Path) -> None:
    waiting: list[bool] = []
    with (
        exclusive(tmp_path / "lock", time.monotonic() + 5),
        pytest.raises(DeadlineError, match="E222"),
        exclusive(tmp_path / "lock", time.monotonic() + 0.3, waiting=lambda: waiting.append(True)),
    ):
        pass
    assert waiting == [True]
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("error: Failed to write file\n  cause: No space left on device (os error 28)", "E218"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "E216"),
        ("error: Failed to download `click==8.5.1`\n  cause: Hash mismatch for `click==8.5.1`", "E216"),
        ("OSError: Tunnel connection failed: 407 Proxy Authentication Required", "E214"),
        ("  cause: client error (Connect)\n  cause: tunnel error: proxy authorization required", "E214"),
        ("  cause: invalid peer certificate: UnknownIssuer", "E213"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "E213"),
        ("  cause: HTTP status client error (401 Unauthorized) for url (http://i/simple/)", "E215"),
        ("  cause: dns error\n  cause: failed to lookup address information: Name or service not known", "E210"),
        ("  cause: operation timed out", "E212"),
        ("ConnectTimeoutError(<pip._vendor…>, 'Connection to i timed out. (connect timeout=15)')", "E212"),
        ("  cause: tcp connect error\n  cause: Connection refused (os error 111)", "E211"),
        ("ERROR: No matching distribution found for uv==0.13.9", "E217"),
        ("error: No solution found when resolving dependencies", "E217"),
        ("error: failed to create directory\n  cause: Permission denied (os error 13)", "E219"),
    ],
)
def test_a_known_cause_has_its_code(said: str, code: str, tmp_path: Path) -> None:
    error = failure("the kit", Outcome(2, said), tmp_path / "install.log")
    assert isinstance(error, PreconditionError)
    assert error.problem.code == code
    assert error.problem.next


def test_an_unknown_cause_names_the_log(tmp_path: Path) -> None:
    problem = failure("the kit", Outcome(2, "something new\n"), tmp_path / "install.log").problem
    assert (problem.code, problem.cause) == ("E221", "something new")
    assert "install.log" in problem.next


def test_the_limit_is_told_together_with_what_was_seen(tmp_path: Path) -> None:
    error = failure("the kit", Outcome(-15, "cause: operation timed out", timed_out=True), tmp_path / "install.log")
    assert isinstance(error, DeadlineError)
    assert error.problem.code == "E220"
    assert "does not answer" in error.problem.cause
