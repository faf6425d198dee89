"""Results, progress, probes, files, homes."""

import http.server
import io
import json
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from llm_gateway.errors import DeadlineError, GatewayError, InputError, PreconditionError
from llm_gateway.files import read_json, write_atomic, write_json
from llm_gateway.paths import Home, find_home
from llm_gateway.probes import Deadline, HttpProbe, TcpProbe, wait
from llm_gateway.progress import Progress
from llm_gateway.results import Result, failure, show


def test_the_envelope_is_what_design_says():
    error = InputError("E105", "That is wrong.", cause="A typo.", next="Try again.")
    envelope = json.loads(failure("start", error).envelope())
    assert envelope == {
        "schema": "llm-gateway/1",
        "verb": "start",
        "ok": False,
        "data": {},
        "warnings": [],
        "errors": [{"code": "E105", "message": "That is wrong.", "cause": "A typo.", "next": "Try again."}],
    }
    assert show(error.problem).splitlines()[0] == "E105  That is wrong."
    assert json.loads(Result("plan", {"a": "ü"}).envelope())["ok"] is True


def test_exit_codes_follow_the_kind_of_error():
    assert [kind.exit_code for kind in (GatewayError, InputError, PreconditionError, DeadlineError)] == [1, 2, 3, 4]


def test_progress_writes_one_line_a_step_where_there_is_no_terminal():
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.step("PostgreSQL") as step:
        step.detail("ready")
    with pytest.raises(ValueError, match="x"), progress.step("Redis"):
        raise ValueError("x")
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("  PostgreSQL")
    assert "ready (" in lines[0]
    assert lines[1].startswith("  Redis")
    assert "failed (" in lines[1]
    assert "\x1b" not in stream.getvalue()


def test_quiet_progress_writes_nothing():
    stream = io.StringIO()
    progress = Progress(stream, quiet=True)
    progress.note("x")
    with progress.step("y"):
        pass
    assert stream.getvalue() == ""


@contextmanager
def served(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class ReadyAtTheThirdCall(http.server.BaseHTTPRequestHandler):
    calls = 0

    def do_GET(self):
        type(self).calls += 1
        self.send_response(200 if self.calls >= 2 else 503)
        self.end_headers()
        self.wfile.write(b"ready" if self.calls >= 3 else b"nearly")

    def log_message(self, *args):
        pass


def test_wait_polls_until_the_body_is_accepted(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # probes never use it
    with served(ReadyAtTheThirdCall) as port:
        probe = HttpProbe(f"http://127.0.0.1:{port}/", accept=lambda body: body == b"ready")
        assert probe().endswith("answers 503")
        assert wait(probe, Deadline(10)) == ""


def test_wait_gives_the_last_reason_at_the_deadline():
    assert "does not accept connections" in wait(TcpProbe("127.0.0.1", 1), Deadline(0.1))


def test_wait_ends_early_when_the_process_is_dead_or_the_start_called_off():
    assert wait(lambda: "no", Deadline(60), alive=lambda: "it is dead") == "it is dead"
    cancelled = threading.Event()
    cancelled.set()
    assert wait(lambda: "no", Deadline(60), cancelled=cancelled) == "no"


def test_files_are_private_and_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": 1})
    assert read_json(path) == {"b": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_json(tmp_path / "none.json") == {}
    path.write_text("[1]")
    for content in ("[1]", "{", "\x00"):
        path.write_text(content)
        with pytest.raises(InputError):
            read_json(path)
    with pytest.raises(PreconditionError):
        write_atomic(tmp_path / "nowhere" / "x", "text")
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]


def test_homes(tmp_path, monkeypatch):
    assert find_home({"LLM_GATEWAY_HOME": str(tmp_path)}).root == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_home({"LLM_GATEWAY_HOME": "~/x"}).root == tmp_path / "x"
    short, long = Home(tmp_path / "a"), Home(tmp_path / ("long" * 30))
    assert short.id != long.id
    assert len(str(long.socket("supervisor.sock"))) < 100
    assert short.log("gateway").name == "llm-gateway.log"


def test_quick_verbs_load_no_http_client():
    """`status` answers in half a second, `reload` in one; httpx alone takes 0.1 s."""
    verbs = ", ".join(f"llm_gateway.cli.{name}" for name in ("status", "plan", "reload", "config", "doctor"))
    code = f"import sys, {verbs}; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
