"""Every check of the doctor: a machine on which it fires, and the same machine mended."""

from __future__ import annotations

import json
import os
import shutil
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest

from llm_gateway.doctor.machine import verdict
from llm_gateway.doctor.runner import all_checks
from support.home import DEMO, Home, home
from support.ports import free_port
from support.redis import RedisServer
from support.stack import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shared() -> Iterator[Home]:
    with home("LLM_GATEWAY_ENABLE_REDIS=false") as made:
        made.ask("init")
        yield made


@pytest.fixture
def made(shared: Home) -> Iterator[Home]:
    """A home that was initialised and never started; what a test changes is put back."""
    environ, env = dict(shared.environ), shared.env_file.read_text()
    yield shared
    shared.environ, shared.prefix = environ, ()
    shared.env_file.write_text(env)
    shared.env_file.chmod(0o600)


def findings(made: Home) -> dict[str, dict[str, str]]:
    """The doctor's findings by id; those that are errors decide its exit code."""
    done = made.run("doctor", "--json")
    envelope = json.loads(done.stdout)
    found = {check["id"]: check for check in envelope["data"]["checks"] if check["finding"]}
    wrong = any(check["severity"] == "error" for check in found.values())
    assert (done.returncode, envelope["ok"]) == (int(wrong), not wrong)
    assert all(check["next"] for check in found.values())
    return found


# Each breaks one thing and gives what mends it.
Break = "Callable[[Home, Path], Callable[[], object]]"
BREAKS: dict[str, Break] = {}


def breaks(check: str) -> Callable[[Break], Break]:
    def register(function: Break) -> Break:
        BREAKS[check] = function
        return function

    return register


@breaks("D101")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.env_file.chmod(0o644)
    return lambda: made.env_file.chmod(0o600)


@breaks("D102")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    # In a mount namespace of its own the home stands on a file system of 20 MB.
    made.prefix = (
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount -t tmpfs -o size=20m none "$0" && exec "$@"',
        str(made.root),
    )
    return lambda: setattr(made, "prefix", ())


@breaks("D103")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    command = 'mount -t tmpfs none /sys/fs/cgroup && echo 900000000 >/sys/fs/cgroup/memory.max && exec "$@"'
    made.prefix = ("unshare", "--mount", "sh", "-c", command, "sh")
    return lambda: setattr(made, "prefix", ())


def _before(made: Home, directory: Path) -> Callable[[], object]:
    """Let `directory` come before everything else on Python's path."""
    old = made.environ["PYTHONPATH"]
    made.environ["PYTHONPATH"] = f"{directory}{os.pathsep}{old}"
    return lambda: made.environ.update(PYTHONPATH=old)


@breaks("D104")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    (tmp / "litellm").mkdir()
    (tmp / "litellm" / "__init__.py").write_text("")
    return _before(made, tmp)


@breaks("D105")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    place = tmp / "litellm-1.82.8.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: litellm\nVersion: 1.82.8\n")
    return _before(made, tmp)


@breaks("D106")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.environ.update(HTTPS_PROXY="http://proxy.example:3128", NO_PROXY="", no_proxy="")
    return lambda: made.environ.update(NO_PROXY="localhost,127.0.0.1", no_proxy="localhost,127.0.0.1")


@breaks("D107")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    ports = {f"{name}Port": port for name, port in made.ports.items()}
    choices = {name: [port, "default"] for name, port in ports.items()} | {"database": [False, "flag"]}
    record = {"choices": choices, "ports": ports, "config": str(DEMO), "variables": [], "given": {}}
    (made.state / "running.json").write_text(json.dumps(record))
    return (made.state / "running.json").unlink


@breaks("D108")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    holder = socket.socket()
    holder.bind(("127.0.0.1", made.ports["gateway"]))
    holder.listen()
    return holder.close


def _set(made: Home, **values: str) -> Callable[[], object]:
    old = made.env_file.read_text()
    lines = [line for line in old.splitlines() if line.split("=", 1)[0] not in values]
    made.env_file.write_text("\n".join([*lines, *(f"{name}={value}" for name, value in values.items())]) + "\n")
    return lambda: made.env_file.write_text(old)


@breaks("D201")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    return _set(made, DATABASE_URL="postgresql://me:secret-word@127.0.0.1:1/mine")


@breaks("D211")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.environ["LLM_GATEWAY_ENABLE_REDIS"] = "true"
    return _set(made, REDIS_HOST="127.0.0.1", REDIS_PORT="1")


_SERVERS: list[RedisServer] = []


@pytest.fixture(autouse=True)
def _servers() -> Iterator[None]:
    """Stop what a test has started."""
    yield
    while _SERVERS:
        _SERVERS.pop().stop()


def _cached_there(made: Home, tmp: Path, kind: str) -> RedisServer:
    """A real Redis that `.env` names, and a config whose cache is in it."""
    server = RedisServer(tmp, free_port())
    _SERVERS.append(server)
    server.start()
    config = {"litellm_settings": {"cache": True, "cache_params": {"type": kind, "similarity_threshold": 0.9}}}
    path = written(tmp, "cached.yaml", config)
    made.environ.update(LLM_GATEWAY_ENABLE_REDIS="true", LLM_GATEWAY_CONFIG_FILE=str(path))
    _set(made, REDIS_HOST="127.0.0.1", REDIS_PORT=str(server.port), REDIS_PASSWORD="")
    return server


@breaks("D214")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    _cached_there(made, tmp, "redis-semantic")
    config = {"litellm_settings": {"cache": True, "cache_params": {"type": "redis"}}}
    return lambda: written(tmp, "cached.yaml", config)


@breaks("D215")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    client = _cached_there(made, tmp, "redis").client()
    client.config_set("maxmemory", "1")
    return lambda: client.config_set("maxmemory", "0")


@breaks("D212")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.environ["LLM_GATEWAY_ENABLE_PRESIDIO"] = "true"
    bases = ("PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE")
    return _set(made, **dict.fromkeys(bases, "http://127.0.0.1:1"))


@breaks("D213")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.environ["LLM_GATEWAY_ENABLE_LANGFUSE"] = "true"
    keys = {"LANGFUSE_PUBLIC_KEY": "pk-lf-own", "LANGFUSE_SECRET_KEY": "sk-lf-secret-word"}
    _set(made, LANGFUSE_HOST="http://127.0.0.1:1", **keys)
    return lambda: made.environ.update(LLM_GATEWAY_ENABLE_LANGFUSE="false")  # asked for, it must have a server


@breaks("D231")
def _(made: Home, _tmp: Path) -> Callable[[], object]:
    made.environ["LLM_GATEWAY_ENABLE_PROMETHEUS"] = "true"
    _set(made, PROMETHEUS_URL="http://me:secret-word@127.0.0.1:1")
    return lambda: made.environ.update(LLM_GATEWAY_ENABLE_PROMETHEUS="false")


@breaks("D221")
def _(made: Home, tmp: Path) -> Callable[[], object]:
    engine = tmp / "query-engine"
    engine.write_text("#!/bin/sh\necho no node >&2\nexit 127\n")
    engine.chmod(0o755)
    (made.state / "processes" / "prisma.json").write_text(json.dumps({"PRISMA_QUERY_ENGINE_BINARY": str(engine)}))
    return lambda: engine.write_text("#!/bin/sh\n")


_NEEDS = {"D102": "mount", "D103": "mount", "D214": "redis", "D215": "redis"}


@pytest.mark.parametrize(
    "check", [pytest.param(id_, marks=pytest.mark.needs(_NEEDS[id_]) if id_ in _NEEDS else ()) for id_ in BREAKS]
)
def test_a_check_fires_and_is_silent_once_mended(made: Home, check: str, tmp_path: Path) -> None:
    mend = BREAKS[check](made, tmp_path)
    try:
        fired = findings(made)
        assert check in fired
        assert "secret-word" not in json.dumps(fired)
    finally:
        mend()
    assert check not in findings(made)


_FUTURE = """INSERT INTO "_prisma_migrations" (id, checksum, finished_at, migration_name, applied_steps_count)
             VALUES ('0', 'x', now(), '29990101000000_future', 1)"""
_LEDGER = """CREATE TABLE "_prisma_migrations" (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,
             finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,
             started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0)"""
BY_DATABASE = {
    "D202": (["CREATE TABLE somebodys (id int)"], ["DROP TABLE somebodys"]),
    "D202 newer": ([_LEDGER, _FUTURE], ['DELETE FROM "_prisma_migrations"']),
    "D222": (
        [
            "CREATE SCHEMA llm_gateway",
            "CREATE TABLE llm_gateway.state (key text, value text)",
            "INSERT INTO llm_gateway.state VALUES ('salt_fingerprint', 'of another salt')",
        ],
        ["DELETE FROM llm_gateway.state"],
    ),
}


@pytest.mark.parametrize("case", BY_DATABASE)
def test_a_check_of_the_database_fires_and_is_silent_once_mended(made: Home, case: str, database: str) -> None:
    break_it, mend_it = BY_DATABASE[case]
    _set(made, DATABASE_URL=database)
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in break_it:
            connection.execute(statement.encode())
        assert case.split(maxsplit=1)[0] in findings(made)
        for statement in mend_it:
            connection.execute(statement.encode())
        assert case.split(maxsplit=1)[0] not in findings(made)


def test_every_check_is_tried() -> None:
    tried = set(BREAKS) | {case.split()[0] for case in BY_DATABASE}
    assert tried == {check.id for check in all_checks()}
    ids = [check.id for check in all_checks()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("version", "wrong"), [("1.82.7", True), ("1.82.8", True), ("1.83.9", True), ("1.83.10", False), ("1.106.2", False)]
)
def test_dangerous_versions_of_litellm(version: str, wrong: bool) -> None:  # noqa: FBT001
    assert bool(verdict(version)) is wrong


def test_people_read_the_findings_on_stdout_and_get_a_next_command(made: Home) -> None:
    made.env_file.chmod(0o644)
    done = made.run("doctor")
    assert done.returncode == 1
    assert f"chmod 600 {made.env_file}" in done.stdout
    assert "D101  error" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_home_that_cannot_be_written(made: Home) -> None:
    """D101's other half; root may write everywhere, so the state directory is read-only mounted for it."""
    if not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("needs a mount namespace")
    command = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    made.prefix = ("unshare", "--mount", "sh", "-c", command, str(made.state))
    assert "cannot be written" in findings(made)["D101"]["finding"]
