"""A reload: other workers on the same socket, and nobody notices."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from llm_gateway.gateway.control import ask
from llm_gateway.gateway.supervisor import MOST_RETIRED
from llm_gateway.services.base import Process
from llm_gateway.specs import read_spec, write_spec
from support.launcher import MASTER_KEY, MOCK_MODEL, Launched, launched, until
from support.openai_upstream import Upstream, serving
from support.realtime import realtime_upstream, say, session
from support.steady_client import Report, steady


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One launcher for all tests that only reload: importing LiteLLM takes longer than any of them."""
    with launched(tmp_path_factory.mktemp("launcher"), answering("old")) as gateway:
        yield gateway.ready()


@pytest.fixture
def gateway(shared):
    """The shared launcher with one worker whose `demo-chat` says "old"."""
    assert shared.reload(answering("old"))["state"] == "done"
    return shared


def answering(text: str, *models: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A config whose `demo-chat` says `text`."""
    mock = {"model_name": "demo-chat", "litellm_params": {**MOCK_MODEL["litellm_params"], "mock_response": text}}
    return {"model_list": [mock, *models], **sections}


def says(gateway: Launched) -> str:
    text: str = gateway.chat().json()["choices"][0]["message"]["content"]
    return text


def slow(upstream: Upstream) -> dict[str, Any]:
    upstream.pace(3.0)
    return upstream.model("slow")


def assert_no_interruption(report: Report) -> None:
    """Nothing failed, nothing was answered by both configs in turns, and everybody got an answer."""
    assert not report.failures, str(report)
    assert len(report.of("plain")) > 20
    assert len(report.of("stream")) >= 2
    assert all(call.text.endswith("last") for call in report.of("stream"))


def test_the_new_config_answers_and_the_old_workers_are_gone(gateway):
    gateway.reload(answering("old"), "--workers", "2")
    before, nursery, config = gateway.workers(), gateway.status()["nursery"], gateway.status()["config"]
    assert len(before) == 2
    assert says(gateway) == "old"
    reload = gateway.reload(answering("new"), "--workers", "2")
    assert (reload["state"], reload["fresh"], reload["problem"]) == ("done", False, None)
    assert [says(gateway) for _ in range(10)] == ["new"] * 10
    status = gateway.status()
    assert status["nursery"] == nursery
    assert status["config"] != config
    assert not set(gateway.workers()) & set(before)
    until(lambda: not any(psutil.pid_exists(pid) for pid in before), reason="the old workers stay")
    until(lambda: gateway.status()["draining"] == [])


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_through_reloads(gateway, workers):
    """20 requests/s and four streams of 3 s through five swaps."""
    arguments = ("--workers", str(workers))
    with serving() as upstream:
        gateway.reload(answering("config 0", slow(upstream)), *arguments)
        with steady(gateway.address, key=MASTER_KEY, streams=4, streamed="slow") as client:
            until(lambda: client.report().saying("config 0"))
            for number in range(1, 6):
                gateway.reload(answering(f"config {number}", slow(upstream)), *arguments)
                until(lambda name=f"config {number}": len(client.report().saying(name)) > 10)
            report = client.stop()
    assert_no_interruption(report)
    last = [call for call in report.of("plain") if "config 4" not in call.text][-1]
    assert "config 5" in last.text


def test_a_kept_connection_gets_one_more_old_answer_and_is_asked_to_leave(gateway):
    with gateway.client() as kept:
        body = {"model": "demo-chat", "messages": [{"role": "user", "content": "hello"}]}
        kept.post("/v1/chat/completions", json=body)
        gateway.reload(answering("new"))
        assert says(gateway) == "new"
        last = kept.post("/v1/chat/completions", json=body)
        assert last.headers.get("connection") == "close"
        assert kept.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == "new"


def test_streams_of_the_old_workers_run_to_their_end(gateway):
    with serving() as upstream:
        gateway.reload(answering("old", upstream.model("slow")))
        until(lambda: gateway.status()["draining"] == [])
        upstream.gate.clear()
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with gateway.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as stream:
            lines = stream.iter_lines()
            next(lines)
            old = gateway.workers()
            gateway.reload(answering("new"))
            assert says(gateway) == "new"
            assert gateway.status()["draining"] == old
            upstream.gate.set()
            assert "[DONE]" in "".join(lines)
        until(lambda: gateway.status()["draining"] == [])
        assert not psutil.pid_exists(old[0])


def test_a_realtime_session_goes_on_through_a_reload(gateway):
    with realtime_upstream() as upstream:
        gateway.reload(answering("old", upstream.model()))
        until(lambda: gateway.status()["draining"] == [])
        old = gateway.workers()
        with session(gateway.address) as client:
            client.recv(10)
            assert say(client, "before") == "heard before"
            gateway.reload(answering("new"))
            assert say(client, "after") == "heard after"
            assert gateway.status()["draining"] == old
        until(lambda: gateway.status()["draining"] == [])


def test_a_stop_does_not_wait_for_what_drains(tmp_path):
    with serving() as upstream, launched(tmp_path, answering("old", upstream.model("slow"))) as gateway:
        gateway.ready()
        upstream.gate.clear()
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        with gateway.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as stream:
            next(stream.iter_lines())
            gateway.reload(answering("new"))
            assert gateway.stop(seconds=10) == 0


def test_old_streams_do_not_pile_up(gateway):
    """One generation of open streams too many ends the first: memory has an end."""
    with serving() as upstream, ExitStack() as open_streams:
        gateway.reload(answering("0", upstream.model("slow")))
        until(lambda: gateway.status()["draining"] == [])
        upstream.gate.clear()
        open_streams.callback(upstream.gate.set)
        first = gateway.workers()
        body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        waiting = []
        for number in range(1, MOST_RETIRED + 2):
            client = open_streams.enter_context(gateway.client())
            stream = open_streams.enter_context(client.stream("POST", "/v1/chat/completions", json=body))
            waiting.append(stream.iter_lines())
            next(waiting[-1])
            gateway.reload(answering(str(number), upstream.model("slow")))
        until(lambda: len(gateway.status()["draining"]) == MOST_RETIRED)
        assert not psutil.pid_exists(first[0])


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["no_such_module.handler"]}}, "no_such_module"),
        ("model_list: [\n  - {", ".yaml"),
    ],
)
def test_a_config_that_does_not_start_changes_nothing(gateway, config, named):
    with serving() as upstream:
        gateway.reload(answering("old", slow(upstream)))
        before, present = gateway.workers(), gateway.status()["config"]
        with steady(gateway.address, key=MASTER_KEY, streams=2, streamed="slow") as client:
            until(lambda: client.report().saying("old"))
            reload = gateway.reload(config)
            until(lambda: len(client.report().of("stream")) >= 2)
            report = client.stop()
        assert reload["state"] == "failed"
        assert reload["problem"]["code"] == "E510"
        assert named in reload["problem"]["message"]
        assert gateway.workers() == before
        assert gateway.status()["config"] == present
        assert_no_interruption(report)
        # The old config is also what a worker that dies now is replaced with.
        psutil.Process(before[0]).kill()
        until(lambda: gateway.workers() and gateway.workers() != before)
        assert says(gateway) == "old"
        assert gateway.reload(answering("new"))["state"] == "done"
        assert says(gateway) == "new"


def reveal(tmp_path: Path) -> dict[str, Any]:
    """A callback that tells what a worker sees: a variable, and who its parents are."""
    (tmp_path / "reveal.py").write_text(
        "import os, sys\n"
        "from litellm.integrations.custom_logger import CustomLogger\n"
        "print('REVEALED', os.environ.get('COLOUR'), sys.prefix, file=sys.stderr, flush=True)\n"
        "handler = CustomLogger()\n"
    )
    return {"callbacks": ["reveal.handler"]}


def test_another_environment_or_installation_gets_another_nursery_without_a_failed_request(tmp_path):
    settings = reveal(tmp_path)
    other = tmp_path / "other"  # what an upgrade in another directory is: the interpreter's path differs
    other.symlink_to(sys.prefix)
    with serving() as upstream:
        old = answering("old", slow(upstream), litellm_settings=settings)
        with launched(tmp_path, old, "--modules", str(tmp_path), env={"COLOUR": "", "SHAPE": "round"}) as gateway:
            gateway.ready()
            nursery = gateway.status()["nursery"]
            with steady(gateway.address, key=MASTER_KEY, streams=4, streamed="slow") as client:
                until(lambda: client.report().saying("old"))
                new = answering("new", slow(upstream), litellm_settings=settings)
                reload = gateway.reload(new, "--modules", str(tmp_path), variables={"COLOUR": "green", "SHAPE": "x"})
                until(lambda: len(client.report().saying("new")) > 20)
                report = client.stop()
            assert (reload["state"], reload["fresh"]) == ("done", True)
            assert gateway.status()["nursery"] not in {None, nursery}
            until(lambda: not psutil.pid_exists(nursery))
            assert "REVEALED green" in gateway.log()
            assert_no_interruption(report)
            # The same again: nothing is imported anew, and a variable of the process beats the file's.
            again = gateway.reload(new, "--modules", str(tmp_path), variables={"COLOUR": "green", "SHAPE": "y"})
            assert again["fresh"] is False
            python = str(other / "bin" / Path(sys.executable).name)
            upgraded = gateway.reload(
                new, "--modules", str(tmp_path), variables={"COLOUR": "green", "SHAPE": "y"}, python=python
            )
            assert (upgraded["state"], upgraded["fresh"]) == ("done", True)
            assert f"REVEALED green {other}" in gateway.log()


def test_an_environment_in_which_litellm_cannot_be_imported_changes_nothing(gateway):
    before = gateway.status()
    reload = gateway.reload(answering("new"), variables={"DEFAULT_MAX_RETRIES": "many"})
    assert reload["state"] == "failed"
    assert reload["problem"]["code"] == "E511"
    assert "'many'" in reload["problem"]["message"]
    assert says(gateway) == "old"
    assert gateway.status()["nursery"] == before["nursery"]


def test_more_workers_and_the_cold_path_come_by_reload(tmp_path):
    with launched(tmp_path, answering("old")) as gateway:
        gateway.ready()
        assert gateway.reload(answering("two"), "--workers", "2")["state"] == "done"
        assert len(gateway.workers()) == 2
        assert gateway.reload(answering("cold"), "--no-preload")["state"] == "done"
        status = gateway.status()
        assert (status["preload"], status["nursery"], len(status["workers"])) == (False, None, 1)
        assert says(gateway) == "cold"
        assert gateway.stop() == 0


def test_what_only_a_restart_can_change_is_refused(gateway):
    last = gateway.status()["reload"]["number"]
    answer = gateway.order(answering("new"), "--host", "127.0.0.2")
    assert answer["problem"]["code"] == "E514"
    assert "host" in answer["problem"]["message"]
    assert gateway.status()["reload"]["number"] == last


def test_an_order_that_makes_no_sense_harms_nobody(gateway):
    """A launcher of another version than the kit may be asked for what it does not know."""
    before = gateway.workers()
    unknown = gateway.order(answering("new"), "--from-the-future")
    assert unknown["problem"]["code"] == "E514"
    nowhere = ask(gateway.control, do="reload", spec="/no/such/spec.json")
    assert nowhere["problem"]["code"] == "E514"
    assert ask(gateway.control, do="reload")["problem"]["code"] == "E514"
    missing = gateway.reload(answering("new"), python="/no/such/python")
    assert missing["state"] == "failed"
    assert missing["problem"]["code"] == "E511"
    assert gateway.workers() == before
    assert says(gateway) == "old"


def test_a_hanging_old_worker_holds_up_nobody(gateway):
    gateway.reload(answering("old"), "--drain-timeout", "1", "--graceful-timeout", "1")
    (hanging,) = gateway.workers()
    until(lambda: gateway.status()["draining"] == [])
    os.kill(hanging, signal.SIGSTOP)
    assert gateway.reload(answering("new"))["state"] == "done"
    assert says(gateway) == "new"
    assert gateway.status()["draining"] == [hanging]
    until(lambda: gateway.status()["draining"] == [], seconds=30, reason="it is not ended")
    assert gateway.reload(answering("newer"))["state"] == "done"


def test_many_reloads_leave_nothing_behind(gateway):
    def descriptors() -> dict[int, int]:
        family = psutil.Process(gateway.process.pid).children()
        return {one.pid: one.num_fds() for one in family} | {0: psutil.Process(gateway.process.pid).num_fds()}

    def alone() -> bool:
        return gateway.status()["draining"] == []

    until(alone)
    nursery, before = gateway.status()["nursery"], descriptors()
    for number in range(20):
        gateway.reload(answering(str(number)))
    until(alone)
    after = descriptors()
    assert len(after) == len(before)
    # Fewer is fine: when it began, a connection to a worker may still have been open.
    assert after[0] <= before[0]
    assert after[nursery] <= before[nursery]


def test_the_order_becomes_what_a_crashed_launcher_starts_with(tmp_path):
    spec = tmp_path / "present.json"
    process = Process("gateway", ("unused",), reads_spec=True)
    write_spec(spec, process, env_file=tmp_path / "none")
    with launched(tmp_path, answering("old"), "--spec", str(spec)) as gateway:
        gateway.ready()
        failed = gateway.reload({"model_list": [MOCK_MODEL], "litellm_settings": {"callbacks": ["no_such.handler"]}})
        assert failed["state"] == "failed"
        assert read_spec(spec).argv == ["unused"]
        gateway.reload(answering("new"))
        assert gateway.status()["config"] in read_spec(spec).argv
        spec.unlink()
        spec.mkdir()  # what cannot be replaced is said, and harms nothing
        gateway.reload(answering("newer"))
        assert says(gateway) == "newer"
        assert "after a crash the old config would start" in gateway.log()


def test_a_second_reload_is_refused_and_a_stop_in_the_middle_leaves_nothing(tmp_path):
    with launched(tmp_path, answering("old")) as gateway:
        until(gateway.control.exists)
        assert gateway.order(answering("early"))["problem"]["code"] == "E513"
        nursery = gateway.ready().status()["nursery"]
        assert "reload" in gateway.order(answering("one"), fresh=True)
        assert gateway.order(answering("two"))["problem"]["code"] == "E513"
        until(lambda: gateway.status()["reload"]["state"] == "done", seconds=60)
        assert says(gateway) == "one"
        assert gateway.status()["nursery"] != nursery
        gateway.order(answering("two"), fresh=True)
        family = gateway.family()
        assert gateway.stop() == 0
        until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family[1:]))


def test_a_worker_that_is_never_ready_is_given_up(gateway, tmp_path):
    """A hanging start-up: the reload fails when its time is over, and the old workers serve on."""
    (tmp_path / "hang.py").write_text("import threading\nthreading.Event().wait()\n")
    hanging = answering("new", litellm_settings={"callbacks": ["hang.handler"]})
    reload = gateway.reload(hanging, "--modules", str(tmp_path), "--ready-timeout", "3")
    assert reload["state"] == "failed"
    assert reload["problem"]["code"] == "E512"
    assert says(gateway) == "old"
    until(lambda: len(gateway.family()) == 3, reason="more than launcher, nursery and worker")
