"""The engine as a process: how it starts, stops, refuses and survives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import psutil
import pytest

from llm_gateway.probes import Deadline, HttpProbe, wait
from support.ports import free_port
from support.postgres import cluster
from support.prisma import EngineProcess, engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_gateway.prisma_wasm.runtime import PrismaRuntime
    from support.postgres import Cluster

pytestmark = pytest.mark.needs("node", "postgres")

_COUNT = "query { result: aggregateLiteLLM_UserTable { _count { _all } } }"


def _post(running: EngineProcess, path: str, body: Any, **headers: str) -> dict[str, Any]:
    answer = httpx.post(f"{running.url}{path}", json=body, headers=headers, timeout=30)
    assert answer.status_code == 200
    return answer.json()


def _raw(running: EngineProcess, sql: str, *parameters: Any, **headers: str) -> dict[str, Any]:
    arguments = f"query: {json.dumps(sql)} parameters: {json.dumps(json.dumps(parameters))}"
    return _post(running, "/", {"query": f"mutation {{ result: queryRaw({arguments}) }}", "variables": {}}, **headers)


def _error(answer: dict[str, Any]) -> tuple[str, str]:
    [error] = answer["errors"]
    assert isinstance(error["user_facing_error"]["meta"], dict)
    return error["user_facing_error"]["error_code"], error["error"]


@pytest.fixture
def running(prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path) -> Iterator[EngineProcess]:
    with engine(prisma_runtime, migrated, tmp_path) as process:
        process.until_ready()
        yield process


def test_version_is_answered_at_once_and_without_node_on_the_path(prisma_runtime: PrismaRuntime) -> None:
    started = time.monotonic()
    done = subprocess.run([prisma_runtime.engine, "--version"], capture_output=True, text=True, env={}, check=True)
    assert time.monotonic() - started < 1
    name, commit = done.stdout.split()
    assert (name, len(commit)) == ("query-engine", 40)


def test_it_runs_without_node_on_the_path(prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path) -> None:
    with engine(prisma_runtime, migrated, tmp_path, environment={"PATH": "/nowhere"}) as process:
        process.until_ready()


def test_the_started_process_is_the_engine_and_says_so(running: EngineProcess) -> None:
    process = psutil.Process(running.process.pid)
    assert process.children() == []
    assert process.name().startswith("query-engine")
    assert [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"] == ["127.0.0.1"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_within_two_seconds(running: EngineProcess, how: signal.Signals) -> None:
    started = time.monotonic()
    running.process.send_signal(how)
    assert running.process.wait(10) == 0
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("when", ["connecting", "ready"])
def test_it_ends_when_its_parent_is_killed(prisma_runtime: PrismaRuntime, migrated: str, when: str) -> None:
    import prisma

    port = free_port()
    schema = str(Path(prisma.__file__).with_name("schema.prisma"))
    code = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([{str(prisma_runtime.engine)!r}, '-p', '{port}'])\n"
        "print(p.pid, flush=True)\n"
        "p.wait()\n"
    )
    variables = {**os.environ, "PRISMA_DML_PATH": schema, "DATABASE_URL": migrated}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=variables)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    probe = HttpProbe(f"http://127.0.0.1:{port}/status")
    node = lambda: "" if "main.js" in str(child.cmdline()) else "no node yet"  # noqa: E731
    started = probe if when == "ready" else node
    try:
        assert not wait(started, Deadline(15))
        parent.kill()
        # Nobody may reap it in a container without an init.
        gone = lambda: "" if not child.is_running() or child.status() == "zombie" else "alive"  # noqa: E731
        assert not wait(gone, Deadline(8))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        if child.is_running():
            child.kill()


@pytest.mark.parametrize("problem", ["refused", "password", "database"])
def test_it_exits_when_the_database_cannot_be_used(
    prisma_runtime: PrismaRuntime, postgres: Cluster, tmp_path: Path, problem: str
) -> None:
    url = {
        "refused": f"postgresql://u:p@127.0.0.1:{free_port()}/d?pool_timeout=1&connect_timeout=1",
        "password": postgres.url(password="wrong-one"),
        "database": postgres.url("no-such-database"),
    }[problem]
    with engine(prisma_runtime, url, tmp_path) as process:
        assert process.process.wait(20) == 1
        log = process.log.read_text()
    assert len(log.splitlines()) == 1
    assert json.loads(log)["level"] == "ERROR"
    assert "wrong-one" not in log


@pytest.mark.parametrize("identifier", ["cm0", "00000000-0000-0000-0000-000000000000", "%20"])
def test_unknown_transactions_are_refused_and_the_engine_lives(running: EngineProcess, identifier: str) -> None:
    for answer in (
        _post(running, f"/transaction/{identifier}/commit", None),
        _post(running, f"/transaction/{identifier}/rollback", None),
        _post(running, "/", {"query": _COUNT}, **{"X-transaction-id": identifier}),
    ):
        code, text = _error(answer)
        assert code == "P2028"
        assert "Transaction not found" in text
    assert _post(running, "/", {"query": _COUNT}) == {"data": {"result": {"_count": {"_all": 0}}}}


def test_closed_transactions_are_refused_and_the_engine_lives(running: EngineProcess) -> None:
    for ending in ("commit", "rollback"):
        opened = _post(running, "/transaction/start", {"timeout": 5000, "max_wait": 2000})["id"]
        assert _post(running, f"/transaction/{opened}/{ending}", None) == {}
        for how in ("commit", "rollback"):
            code, text = _error(_post(running, f"/transaction/{opened}/{how}", None))
            assert code == "P2028"
            assert text.startswith("Transaction already closed")
    assert "data" in _post(running, "/", {"query": _COUNT})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "query { result: findManyNothing { a } }"}, "P2009"),
        ({"query": "subscription { x }"}, "P2009"),
        ({"query": "query { result: findManyLiteLLM_UserTable { no_such_field } }"}, "P2009"),
        ({"query": "{" * 100_000}, "P2009"),
        ({"query": "query { result: findManyLiteLLM_UserTable(where: " + "{AND:" * 60_000}, "P2009"),
        ({"query": 5}, "P5000"),
        ({}, "P5000"),
        (None, "P5000"),
    ],
)
def test_bad_requests_get_an_answer(running: EngineProcess, body: Any, code: str) -> None:
    assert _error(_post(running, "/", body))[0] == code
    assert "data" in _post(running, "/", {"query": _COUNT})


def test_other_paths_and_broken_json_get_an_answer(running: EngineProcess) -> None:
    assert httpx.post(f"{running.url}/", content="{").json()["errors"]
    assert httpx.get(f"{running.url}/nothing").json()["errors"]
    assert httpx.get(f"{running.url}/metrics?format=json").json()["counters"] == []


def test_an_override_and_the_parameters_of_the_url_take_effect(
    prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path
) -> None:
    options = quote("-c statement_timeout=300")
    limits = "connection_limit=2&pool_timeout=1&connect_timeout=1"
    url = f"{migrated}?{limits}&options={options}&application_name=it"
    override = {"OVERWRITE_DATASOURCES": json.dumps([{"name": "client", "url": url}])}
    with engine(prisma_runtime, "postgresql://u:p@127.0.0.1:1/x", tmp_path, environment=override) as process:
        process.until_ready()
        settings = "SELECT current_setting('TimeZone') a, current_setting('application_name') b"
        [row] = _raw(process, settings)["data"]["result"]
        assert [row[name]["prisma__value"] for name in "ab"] == ["UTC", "it"]
        code, text = _error(_raw(process, "SELECT pg_sleep(5)"))
        assert code == "P2010"
        assert "statement timeout" in text
        # Two open transactions use up the pool: an error for the third, no hang.
        for _ in range(2):
            assert "id" in _post(process, "/transaction/start", {"timeout": 20000, "max_wait": 5000})
        assert _error(_post(process, "/", {"query": _COUNT}))[0] == "P2024"
        assert _error(_raw(process, "SELECT 1"))[0] == "P2024"


def test_a_schema_other_than_public(prisma_runtime: PrismaRuntime, migrated: str, tmp_path: Path) -> None:
    with engine(prisma_runtime, f"{migrated}?schema=my%20own", tmp_path) as process:
        process.until_ready()
        [row] = _raw(process, "SELECT current_setting('search_path') a")["data"]["result"]
        assert row["a"]["prisma__value"] == '"my own"'
        assert _error(_post(process, "/", {"query": _COUNT}))[0] == "P2021"


def test_a_database_that_comes_up_after_the_engine(prisma_runtime: PrismaRuntime, tmp_path: Path) -> None:
    with cluster() as server:
        server.stop()
        with socket.create_server(("127.0.0.1", server.port)) as listener:
            listener.settimeout(20)
            with engine(prisma_runtime, server.url(), tmp_path) as process:
                # The engine tries before there is a database.
                listener.accept()[0].close()
                listener.close()
                server.start()
                process.until_ready()


def test_a_database_that_goes_away_and_comes_back(prisma_runtime: PrismaRuntime, tmp_path: Path) -> None:
    with cluster() as server, engine(prisma_runtime, server.url(), tmp_path) as process:
        process.until_ready()
        server.stop(signal.SIGQUIT)
        for answer in (_post(process, "/", {"query": _COUNT}), _raw(process, "SELECT 1")):
            assert _error(answer) == ("P1001", f"Can't reach database server at 127.0.0.1:{server.port}")
        assert _error(_post(process, "/transaction/start", {}))[0] == "P1001"
        server.start()
        reason = wait(lambda: "" if "data" in _raw(process, "SELECT 1") else "no data", Deadline(5))
        assert not reason


def test_a_session_that_the_server_ends_is_an_outage_for_one_query(
    running: EngineProcess, migrated: str, postgres: Cluster
) -> None:
    opened = _post(running, "/transaction/start", {"timeout": 20000})["id"]
    header = {"X-transaction-id": opened}
    assert "data" in _raw(running, "SELECT 1", **header)
    with postgres.connect(migrated.rsplit("/", 1)[1]) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert _error(_raw(running, "SELECT 1", **header))[0] in {"P1001", "P2028"}
    assert "data" in _raw(running, "SELECT 1")
    assert running.ended() == ""
