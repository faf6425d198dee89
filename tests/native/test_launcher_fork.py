"""What a fork could have carried along wrongly: callbacks, connections, random state, descriptors, clocks."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg.rows import tuple_row
from websockets.exceptions import ConnectionClosed

from llm_gateway.gateway import nursery
from support.forks import forked_pair, held
from support.launcher import launched, until
from support.openai_upstream import serving
from support.realtime import realtime_upstream, say, session

pytestmark = pytest.mark.needs("redis")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, postgres, template, prisma_runtime):
    name = postgres.create_database(template=template)
    with forked_pair(tmp_path_factory.mktemp("pair"), postgres.url(name), prisma_runtime) as running:
        yield running
    postgres.drop_database(name)


# -- callbacks ----------------------------------------------------------------------------------------------


def test_each_worker_imports_the_callback_itself(pair):
    assert pair.nursery not in {note["pid"] for note in pair.noted("import")}
    imports = Counter(note["pid"] for note in pair.noted("import"))
    assert [imports[pid] for pid in pair.gateway.workers()] == [1, 1]


def test_events_are_told_exactly_once_by_the_worker_that_answered(pair):
    assert pair.nursery
    calls = pair.ask_both(model="demo-chat", cache={"no-cache": True})
    failed = set()
    for _ in range(10):
        answer = pair.gateway.chat(model="failing", num_retries=0, cache={"no-cache": True})
        assert answer.status_code == 500
        failed.add(answer.headers["x-litellm-call-id"])
    until(lambda: failed <= {note["call"] for note in pair.noted("failure")})
    last = pair.ask_both(model="demo-chat", cache={"no-cache": True})  # whatever came twice has come by now
    successes = Counter(note["call"] for note in pair.noted("success"))
    failures = Counter(note["call"] for note in pair.noted("failure"))
    assert {successes[call] for call in calls | last} == {1}
    assert {failures[call] for call in failed} == {1}
    assert not failed & successes.keys()
    assert not (calls | last) & failures.keys()


def test_a_new_worker_runs_the_edited_callback(pair):
    assert pair.nursery
    victim, other = pair.gateway.workers()
    code = pair.folder / "recorder.py"
    code.write_text(code.read_text().replace('VERSION = "one"', 'VERSION = "number two"'))
    pair.replace(victim)
    (new,) = set(pair.gateway.workers()) - {other}
    calls = pair.ask_both(model="demo-chat", cache={"no-cache": True})
    versions = {(note["pid"], note["version"]) for note in pair.noted("success") if note["call"] in calls}
    assert versions == {(new, "number two"), (other, "one")}


# -- the response cache -------------------------------------------------------------------------------------


def test_each_worker_has_redis_connections_of_its_own(pair):
    workers, nursery = pair.gateway.workers(), pair.nursery
    pair.ask_both(model="real")
    first, second = (held(pid, pair.redis.port) for pid in workers)
    assert first
    assert second
    assert not first & second
    # none was made before the fork, by the process that all of them come from
    assert held(nursery, pair.redis.port) == set()
    assert pair.redis.ports() <= first | second


def test_an_answer_that_one_worker_cached_is_a_hit_in_the_other(pair):
    assert pair.nursery
    pair.upstream.requests.clear()
    calls = pair.ask_both(model="real", messages=[{"role": "user", "content": "asked twice"}])
    assert len(pair.upstream.requests) == 1
    hits = Counter(note["hit"] for note in pair.noted("success") if note["call"] in calls)
    assert hits == {False: 1, True: len(calls) - 1}


def test_without_redis_requests_are_answered_and_its_return_is_noticed(pair):
    assert pair.nursery
    numbers = itertools.count()

    def asked_upstream() -> int:
        """How often the upstream answers a new question that both workers are asked repeatedly."""
        pair.upstream.requests.clear()
        pair.ask_both(model="real", messages=[{"role": "user", "content": f"question {next(numbers)}"}])
        return len(pair.upstream.requests)

    assert asked_upstream() == 1
    pair.redis.stop()
    try:
        assert asked_upstream() > 1  # each worker for itself
    finally:
        pair.redis.start()
    until(lambda: asked_upstream() == 1, seconds=40, reason="Redis is back, and the workers do not share it")


# -- the database -------------------------------------------------------------------------------------------


def engine_of(worker: int) -> int:
    found = [child.pid for child in psutil.Process(worker).children() if child.name().startswith("query-engine")]
    return found[0] if len(found) == 1 else 0


def test_each_worker_has_an_engine_and_database_connections_of_its_own(pair, postgres):
    workers, nursery = pair.gateway.workers(), pair.nursery
    pair.ask_both(model="demo-chat", cache={"no-cache": True})
    engines = [until(lambda worker=worker: engine_of(worker)) for worker in workers]
    first, second = (held(pid, postgres.port) for pid in engines)
    assert first
    assert second
    assert not first & second
    for pid in (*workers, nursery, pair.gateway.process.pid):
        assert held(pid, postgres.port) == set()
    with postgres.connect() as connection:
        query = "SELECT client_port FROM pg_stat_activity WHERE datname = %s"
        name = pair.database.rpartition("/")[2]
        known = {row[0] for row in connection.execute(query, (name,)).fetchall()}
    assert first & known
    assert second & known
    assert known <= held(engines[0], postgres.port) | held(engines[1], postgres.port)


def test_spend_of_both_workers_is_written_exactly_once(pair):
    assert pair.nursery
    calls = pair.ask_both(model="demo-chat", cache={"no-cache": True})

    def rows() -> Counter[Any]:
        with psycopg.connect(pair.database, row_factory=tuple_row) as connection:
            found = connection.execute('SELECT litellm_call_id FROM "LiteLLM_SpendLogs"').fetchall()
        return Counter(row[0] for row in found)

    until(lambda: calls <= rows().keys(), reason="not every request has its row")
    assert {rows()[call] for call in calls} == {1}


# -- random state -------------------------------------------------------------------------------------------


def test_no_two_workers_have_the_same_random_state_or_identity(pair):
    assert pair.nursery
    for together in (1, 2, 1):  # successive forks of an unchanged parent
        pair.replace(*pair.gateway.workers()[:together])
    identities = [note["identity"] for note in pair.noted("import")]
    assert len(identities) >= 6
    shared = {name for name in identities[0] if len({one[name] for one in identities}) < len(identities)}
    assert shared == set()


def test_call_ids_are_never_given_twice(pair):
    assert pair.nursery
    both = [pair.ask_both(model="demo-chat", cache={"no-cache": True}) for _ in range(2)]
    pair.replace(*pair.gateway.workers())
    both += [pair.ask_both(model="demo-chat", cache={"no-cache": True}) for _ in range(2)]
    noted = Counter(note["call"] for note in pair.noted("success"))
    assert {noted[call] for calls in both for call in calls} == {1}


# -- descriptors and threads --------------------------------------------------------------------------------


def inodes(pid: int, kind: str) -> set[str]:
    """The pipes or sockets that a process holds."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink().name
        except FileNotFoundError:
            continue
        found |= {target} if target.startswith(f"{kind}:") else set()
    return found


def listener(address: str) -> str:
    port = int(address.rpartition(":")[2])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A":
            return f"socket:[{fields[9]}]"
    raise LookupError(address)


def test_a_worker_holds_nothing_of_the_supervisor_the_nursery_or_another_worker(pair):
    nursery, supervisor = pair.nursery, pair.gateway.process.pid
    pair.replace(*pair.gateway.workers())  # asked for together
    workers = pair.gateway.workers()
    shared = {listener(pair.gateway.address)}
    assert shared < inodes(supervisor, "socket")
    assert shared < inodes(nursery, "socket")
    sockets = [inodes(pid, "socket") for pid in workers]
    assert set.intersection(*sockets) == shared
    for held_by_worker in sockets:
        assert held_by_worker & inodes(supervisor, "socket") == shared  # not the control socket, nor its clients
        assert held_by_worker & inodes(nursery, "socket") == shared  # nor the channel
    assert inodes(nursery, "pipe") == set()
    reports = [inodes(pid, "pipe") & inodes(supervisor, "pipe") for pid in workers]
    assert [len(pipes) for pipes in reports] == [1, 1]  # each its own
    assert reports[0] != reports[1]
    # nor has an engine, which would keep a dead worker's report open
    for engine in [until(lambda worker=worker: engine_of(worker)) for worker in workers]:
        assert not inodes(engine, "pipe") & inodes(supervisor, "pipe")
        assert not inodes(engine, "socket") & shared


def test_no_thread_is_in_the_nursery(pair):
    nursery = pair.nursery
    pair.replace(pair.gateway.workers()[0])
    assert len(list(Path(f"/proc/{nursery}/task").iterdir())) == 1
    assert psutil.Process(nursery).children() == []


# -- clocks -------------------------------------------------------------------------------------------------

# Lets the nursery live two hours ago; a worker is in the present from its fork on.
LONG_AGO = """
import os, sys, time
if "llm_gateway.gateway.nursery" in sys.orig_argv:
    behind = [7200.0]
    now, ticks = time.time, time.monotonic
    time.time, time.monotonic = lambda: now() - sum(behind), lambda: ticks() - sum(behind)
    os.register_at_fork(after_in_child=behind.clear)
"""
AGE = """
import sys, time
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.hooks import model_max_budget_limiter
print("AGE", int(time.monotonic() - model_max_budget_limiter._PROCESS_STARTED_AT), file=sys.stderr, flush=True)
handler = CustomLogger()
"""


def test_a_worker_forked_hours_after_the_import_serves_and_caches(tmp_path):
    """What LiteLLM dated or put into caches at its import has expired by then."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(LONG_AGO)
    (tmp_path / "age.py").write_text(AGE)
    path = f"{site}{os.pathsep}{Path(nursery.__file__).parents[2]}"
    with serving() as upstream:
        config = {
            "model_list": [upstream.model()],
            "litellm_settings": {"callbacks": ["age.handler"], "cache": True, "cache_params": {"type": "local"}},
        }
        with launched(tmp_path, config, env={"PYTHONPATH": path}) as gateway:
            gateway.ready()
            assert gateway.status()["nursery"]
            assert 7200 <= int(re.findall(r"^AGE (\d+)$", gateway.log(), re.MULTILINE)[0]) < 7300
            for _ in range(3):
                assert gateway.chat().status_code == 200
            assert len(upstream.requests) == 1
            assert "[DONE]" in gateway.chat(stream=True, cache={"no-cache": True}).text
            assert len(upstream.requests) == 2


# -- realtime -----------------------------------------------------------------------------------------------


def test_realtime_sessions_run_in_both_workers(pair):
    assert pair.nursery
    port = pair.realtime.port
    with ExitStack() as sessions:

        def both_serve() -> bool:
            client = sessions.enter_context(session(pair.gateway.address))
            assert json.loads(client.recv(10))["type"] == "session.created"
            clients.append(client)
            return all(held(pid, port) for pid in pair.gateway.workers())

        clients: list[Any] = []
        until(both_serve, reason="one of two workers never had a session")
        for turn in range(3):
            for number, client in enumerate(clients):
                assert say(client, f"{turn} of {number}") == f"heard {turn} of {number}"


def test_a_stop_ends_a_realtime_session_with_a_word(tmp_path):
    with realtime_upstream() as upstream, launched(tmp_path, {"model_list": [upstream.model()]}) as gateway:
        gateway.ready()
        assert gateway.status()["nursery"]
        with session(gateway.address) as client:
            client.recv(10)
            assert say(client, "hello") == "heard hello"
            gateway.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as ended:
                client.recv(15)
        assert ended.value.rcvd is not None  # a close frame, not a reset
        assert ended.value.rcvd.code == 1012  # service restart
        assert gateway.process.wait(15) == 0
