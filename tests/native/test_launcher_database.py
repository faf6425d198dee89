"""The launcher with a database: spend rows survive stops and crashes, engines never outlive their workers."""

from __future__ import annotations

import os
import signal
import time

import psutil
import psycopg
import pytest
from psycopg.rows import tuple_row

from llm_gateway.gateway import proxy_setup
from support.launcher import CHAT, gone, launched, until
from support.openai_upstream import serving

BATCH = {"general_settings": {"proxy_batch_write_at": 1}}


@pytest.fixture
def variables(migrated, prisma_runtime):
    return {**prisma_runtime.environment(), "DATABASE_URL": migrated, "LITELLM_SALT_KEY": "sk-salt-of-launcher-tests"}


def rows(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, row_factory=tuple_row) as connection:
        return connection.execute('SELECT request_id, status FROM "LiteLLM_SpendLogs"').fetchall()


def engines(gateway) -> list[psutil.Process]:
    return [process for process in gateway.family() if process.name().startswith("query-engine")]


def test_start_and_warm_up_leave_no_spend_row_and_a_stop_writes_what_is_pending(tmp_path, variables):
    with serving() as upstream:
        # never written by the schedule: only the shutdown can have done it
        config = {"model_list": [upstream.model()], "general_settings": {"proxy_batch_write_at": 3600}}
        with launched(tmp_path, config, "--workers", "2", env=variables) as gateway:
            gateway.ready(2)
            assert rows(variables["DATABASE_URL"]) == []
            sent = {gateway.chat(mock_response="x").json()["id"] for _ in range(20)}
            family, started = gateway.family(), time.monotonic()
            assert gateway.stop() == 0
            assert time.monotonic() - started < 8
            gone(family)
        written = rows(variables["DATABASE_URL"])
    assert {row[0] for row in written} == sent
    assert {row[1] for row in written} == {"success"}


def test_a_stream_that_ends_during_the_stop_is_billed(tmp_path, variables):
    with serving() as upstream:
        config = {"model_list": [upstream.model()], **BATCH}
        with launched(tmp_path, config, env=variables) as gateway:
            gateway.ready()
            upstream.gate.clear()
            body = {**CHAT, "stream": True}
            with gateway.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
                lines = answer.iter_lines()
                assert "first" in next(lines)
                gateway.process.send_signal(signal.SIGTERM)
                until(lambda: gateway.status()["workers"][0]["state"] == "stopping")
                upstream.gate.set()
                assert "data: [DONE]" in list(lines)
            assert gateway.process.wait(15) == 0
        assert [row[1] for row in rows(variables["DATABASE_URL"])] == ["success"]


def test_engines_end_with_their_workers(tmp_path, variables):
    with launched(tmp_path, None, "--workers", "2", env=variables) as gateway:
        gateway.ready(2)
        until(lambda: len(engines(gateway)) == 2)
        victim = gateway.workers()[0]
        (engine,) = [process for process in engines(gateway) if process.ppid() == victim]
        os.kill(victim, signal.SIGKILL)
        gone([engine], seconds=1)
        gateway.ready(2)
        until(lambda: len(engines(gateway)) == 2)
        assert gateway.chat().status_code == 200
        # the supervisor killed: its whole family ends, engines too
        family = gateway.family()
        gateway.process.kill()
        gateway.process.wait()
        gone(family)


def test_a_database_that_does_not_answer_is_the_reason_given(tmp_path, variables):
    dead = {**variables, "DATABASE_URL": "postgresql://nobody:secret-word@127.0.0.1:9/none"}
    with launched(tmp_path, env=dead) as gateway:
        assert gateway.process.wait(120) == 1
        line = gateway.log().strip().splitlines()[-1]
    assert line.startswith("gateway: E510 ")
    assert "secret-word" not in gateway.log_file.read_text()


def test_the_pool_of_all_workers_stays_below_the_limit(tmp_path, variables):
    with launched(tmp_path, {"model_list": []}, "--workers", "2", env=variables) as gateway:
        gateway.ready(2)
        worker = psutil.Process(gateway.workers()[0])
        # what a process sets later is not in /proc: ask the engine it started with that environment
        engine = next(process for process in engines(gateway) if process.ppid() == worker.pid)
        assert f"connection_limit={proxy_setup.connection_limit(2)}" in engine.environ()["DATABASE_URL"]
