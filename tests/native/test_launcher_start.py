"""How the launcher starts, and how it says why it does not."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gateway.gateway import nursery
from support.launcher import MASTER_KEY, MOCK_MODEL, launched, until
from support.openai_upstream import serving

BROKEN = {
    "unknown cache type": (
        {"model_list": [MOCK_MODEL], "litellm_settings": {"cache": True, "cache_params": {"type": "no-such"}}},
        "'Cache' object",  # LiteLLM's own words; the kit's lint names the key
    ),
    "not YAML": ("model_list: [\n  - {", "config.yaml"),
    "callback that does not exist": (
        {"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["no_such_module.handler"]}},
        "no_such_module",
    ),
}


def last_line(log: str) -> str:
    return log.strip().splitlines()[-1]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_config_ends_with_one_clear_line(tmp_path, kind):
    config, named = BROKEN[kind]
    with launched(tmp_path, config) as gateway:
        assert gateway.process.wait(60) == 1
        line = last_line(gateway.log())
    assert line.startswith("gateway: E510 the gateway does not start: ")
    assert named in line
    assert "Traceback" not in line
    assert not gateway.control.exists()


def test_a_publicly_known_master_key_is_refused_with_the_reason(tmp_path):
    with launched(tmp_path, env={"LITELLM_MASTER_KEY": "sk-1234"}) as gateway:
        assert gateway.process.wait(60) == 1
        assert "publicly known" in last_line(gateway.log())


def test_a_missing_config_is_bad_input(tmp_path):
    command = [sys.executable, "-m", "llm_gateway.gateway.launcher", "--config", str(tmp_path / "none.yaml")]
    done = subprocess.run(
        [*command, "--control", str(tmp_path / "s")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("gateway: E501 ")
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_names_its_holder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with launched(tmp_path, port=port) as gateway:
            assert gateway.process.wait(30) == 3
            lines = gateway.log().strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"gateway: E503 port {port} on 127.0.0.1 is taken")
    assert f"pid {os.getpid()}" in lines[0]


def test_a_second_launcher_with_the_same_control_socket_is_refused(tmp_path):
    with launched(tmp_path) as first:
        until(first.control.exists)
        with launched(tmp_path) as second:
            assert second.process.wait(30) == 3
            assert "E505" in second.log()
        assert first.process.poll() is None


def test_the_control_socket_of_a_killed_launcher_is_replaced(tmp_path):
    (tmp_path / "gateway.sock").touch()
    with launched(tmp_path) as gateway:
        until(gateway.control.is_socket)
        assert gateway.status()["pid"] == gateway.process.pid


def test_a_control_socket_below_a_long_path_works(tmp_path):
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    with launched(folder) as gateway:
        until(gateway.control.exists)
        assert gateway.status()["workers"]


def test_the_cold_path_serves_and_says_so(tmp_path):
    with launched(tmp_path, None, "--workers", "2", "--no-preload") as gateway:
        gateway.ready(2)
        status = gateway.status()
        assert (status["preload"], status["nursery"]) == (False, None)
        assert gateway.chat().status_code == 200
        assert "each worker imports LiteLLM itself (--no-preload)" in gateway.log()
        assert gateway.stop() == 0


def test_a_nursery_with_a_thread_falls_back_to_the_cold_path(tmp_path):
    # sitecustomize runs before the nursery's imports
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import sys, threading\n"
        "if 'llm_gateway.gateway.nursery' in sys.orig_argv:\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    source = str(Path(nursery.__file__).parents[2])
    with launched(tmp_path, env={"PYTHONPATH": f"{site}{os.pathsep}{source}"}) as gateway:
        gateway.ready()
        assert gateway.status()["preload"] is False
        assert "2 threads instead of 1" in gateway.log()
        assert gateway.chat().status_code == 200


def test_workers_do_not_share_random_state(tmp_path):
    (tmp_path / "reveal.py").write_text(
        "import json, os, random, secrets, sys, uuid\n"
        "import fastuuid, numpy.random\n"
        "from litellm.integrations.custom_logger import CustomLogger\n"
        "from litellm.proxy import proxy_server\n"
        "lock = proxy_server.proxy_logging_obj.db_spend_update_writer.pod_lock_manager\n"
        "values = [random.random(), secrets.token_hex(8), str(uuid.uuid4()), str(fastuuid.uuid4()),\n"
        "          float(numpy.random.random()), lock.pod_id]\n"
        "print('REVEALED', json.dumps(values), file=sys.stderr, flush=True)\n"
        "handler = CustomLogger()\n"
    )
    config = {"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["reveal.handler"]}}
    with launched(tmp_path, config, "--workers", "2") as gateway:
        gateway.ready(2)
        ids = {gateway.chat().json()["id"] for _ in range(40)}
        revealed = re.findall(r"^REVEALED (.*)$", gateway.log(), re.MULTILINE)
    assert len(ids) == 40
    first, second = (json.loads(values) for values in revealed)
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_the_warm_up_reaches_no_callback_and_no_upstream(tmp_path):
    (tmp_path / "spy.py").write_text(
        "import sys\n"
        "from litellm.integrations.custom_logger import CustomLogger\n"
        "class Spy(CustomLogger):\n"
        "    def __getattribute__(self, name):\n"
        "        if name.startswith(('log_', 'async_log_', 'async_post_call', 'async_pre_call')):\n"
        "            print('CALLED', name, file=sys.stderr, flush=True)\n"
        "        return super().__getattribute__(name)\n"
        "handler = Spy()\n"
    )
    with serving() as upstream:
        config = {"model_list": [upstream.model()], "litellm_settings": {"callbacks": ["spy.handler"]}}
        with launched(tmp_path, config, "--workers", "2") as gateway:
            gateway.ready(2)
            assert "CALLED" not in gateway.log()
            assert upstream.requests == []
            # the spy does see a real request
            assert gateway.chat().status_code == 200
            until(lambda: "CALLED async_log_success_event" in gateway.log())


def test_prometheus_counts_every_request_of_two_workers_once(tmp_path):
    config = {"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["prometheus"]}}
    stale = tmp_path / "prometheus" / "counter_1.db"
    stale.parent.mkdir()
    stale.write_bytes(b"stale")

    def counted(gateway) -> float:
        with gateway.client() as client:
            text = client.get("/metrics/").text
        values = re.findall(r"^litellm_proxy_total_requests_metric_total\{.*\} ([0-9.]+)$", text, re.MULTILINE)
        return sum(map(float, values))

    with launched(tmp_path, config, "--workers", "2") as gateway:
        gateway.ready(2)
        assert not stale.exists()
        for _ in range(30):
            assert gateway.chat().status_code == 200
        until(lambda: counted(gateway) == 30, reason=f"counted {counted(gateway)} of 30")
        os.kill(gateway.workers()[0], 9)
        gateway.ready(2)
        assert counted(gateway) == 30


@pytest.mark.parametrize(("arguments", "visible"), [((), False), (("--debug",), True)])
def test_the_access_log_is_for_debugging(tmp_path, arguments, visible):
    with launched(tmp_path, None, *arguments) as gateway:
        gateway.ready()
        assert gateway.chat().status_code == 200
        assert gateway.stop() == 0
        assert ("POST /v1/chat/completions" in gateway.log()) is visible
        assert MASTER_KEY not in gateway.log()


def test_json_logs_and_unsupported_settings_are_told(tmp_path):
    config = {
        "model_list": [MOCK_MODEL],
        "litellm_settings": {"json_logs": True},
        "general_settings": {"database_url": "postgresql://nobody@nowhere/none"},
    }
    with launched(tmp_path, config, "--workers", "2", "--debug", env={"SSL_KEYFILE_PATH": "/x"}) as gateway:
        gateway.ready(2)
        assert gateway.stop() == 0
        log = gateway.log()
    assert log.count("gateway: warning: general_settings.database_url has no effect") == 1
    assert log.count("gateway: warning: SSL_KEYFILE_PATH is not supported") == 1
    assert '"message": "Started server process' in log


def test_unknown_parameters_are_not_dropped_behind_the_persons_back(tmp_path):
    """The app's own default for drop_params is True, the command line's is False; the kit keeps the latter."""
    model = {"model_name": "demo-chat", "litellm_params": {"model": "perplexity/sonar", "api_key": "none"}}
    with launched(tmp_path, {"model_list": [model]}) as gateway:
        gateway.ready()
        answer = gateway.chat(logit_bias={"1": 1}, mock_response="x")
    assert answer.status_code == 400
    assert "drop_params" in answer.text
