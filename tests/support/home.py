"""A temporary home of the kit and the command line in it, for tests that start, break and stop whole gateways.

`home()` gives one; when it ends, nothing of it may run any more. The expensive parts of an installation (LiteLLM's
query engine, the wheels of PostgreSQL and Valkey) are made once per session and shared.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from llm_gateway.probes import Deadline, wait
from llm_gateway.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SOURCE = Path(__file__).resolve().parents[2] / "src"
DEMO = resource("configs") / "model-config-demo.yaml"
OUTSIDE = Path("/var/lib/llm-gateway")  # where root's PostgreSQL stands when its user may not enter the home
# What a developer's shell or an earlier test may hold and these tests must not see.
_PRIVATE = ("LLM_GATEWAY_", "LITELLM_", "LANGFUSE_", "REDIS_", "PRESIDIO_", "PROMETHEUS_", "OPENAI_", "PRISMA_", "UI_")
_PRIVATE_NAMES = {"DATABASE_URL", "DIRECT_URL", "STORE_MODEL_IN_DB"}


@functools.cache
def shared_venvs() -> Path:
    """The `venvs` of all homes of this process; filled by whoever needs something first."""
    if "LLMGW_TEST_VENVS" in os.environ:  # made by tests/conftest.py
        return Path(os.environ["LLMGW_TEST_VENVS"])
    directory = Path(tempfile.mkdtemp(prefix="kit-test-venvs-", dir="/tmp"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@functools.cache
def prepared_venvs() -> Path:
    """`shared_venvs`, certainly filled: for tests that start where nothing can be installed."""
    with home() as made:
        made.start()
    return shared_venvs()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


@dataclass
class Home:
    """One home. `environ` is what every command gets; `user` whose commands they are ("" = the test's own).

    `prefix` goes before every command line: `nsenter …` for instance.
    """

    root: Path
    ports: dict[str, int]
    environ: dict[str, str] = field(default_factory=dict)
    user: str = ""
    prefix: tuple[str, ...] = ()

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def env_file(self) -> Path:
        return self.state / ".env"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def run(
        self, *arguments: str, timeout: float = 240, variables: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`llm-gateway ARGUMENTS` to its end."""
        return subprocess.run(
            [*self._command(), *arguments],
            env={**self.environ, **(variables or {})},
            capture_output=True,
            text=True,
            input=stdin,
            timeout=timeout,
            check=False,
            cwd=self.root if self.root.is_dir() else "/",
            **self._identity(),
        )

    def ask(self, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The envelope that a verb prints with `--json`; its exit code must be `code`."""
        done = self.run(*arguments, "--json", variables=variables)
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        envelope = json.loads(done.stdout)
        assert envelope["schema"] == "llm-gateway/1"
        assert envelope["ok"] == (code == 0)
        assert bool(envelope["errors"]) or code in {0, 1}
        return envelope  # type: ignore[no-any-return]

    def error(self, *arguments: str, code: int, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """The one error of a verb that must fail, complete as every error is."""
        errors = self.ask(*arguments, code=code, variables=variables)["errors"]
        assert len(errors) == 1, errors
        assert all(errors[0][name] for name in ("code", "message", "cause", "next"))
        return dict(errors[0])

    def start(self, *arguments: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Start detached; the `data` of the summary."""
        return dict(self.ask("start", "--detach", *arguments, variables=variables)["data"])

    def popen(self, *arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """`llm-gateway ARGUMENTS` in the background, as the leader of its own process group."""
        return subprocess.Popen(
            [*self._command(), *arguments],
            env={**self.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.root,
            start_new_session=True,
            **self._identity(),
        )

    def chat(self, key: str, *, model: str = "demo-chat") -> httpx.Response:
        """One chat completion."""
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={"model": model, "messages": [{"role": "user", "content": "Hello!"}]},
            timeout=30,
            trust_env=False,
        )

    def answers(self, key: str) -> str:
        """A probe: "" when a chat with `key` is answered, else what came instead."""
        try:
            answer = self.chat(key)
        except httpx.HTTPError as error:
            return repr(error)
        return "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text[:300]}"

    def api(self, method: str, path: str, key: str, **request: Any) -> httpx.Response:
        return httpx.request(
            method, self.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False, **request
        )

    def new_key(self, master: str, **fields: Any) -> str:
        """A virtual key made through the API."""
        answer = self.api("POST", "/key/generate", master, json=fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])

    def values(self) -> dict[str, str]:
        """The variables of `.env`, read by hand: one generated line is NAME=value."""
        lines = self.env_file.read_text(encoding="utf-8").splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def logs(self, lines: int = 15) -> str:
        """The ends of all logs, for a failure's message."""
        parts = []
        for path in sorted((self.root / "logs").glob("*.log")):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
            parts += [f"==> {path.name}", *text]
        return "\n".join(parts)

    def processes(self) -> list[psutil.Process]:
        """Everything alive that belongs to this home: by its environment, its command line or its directory."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def service(self, name: str) -> psutil.Process:
        """The process of a service, or `supervisord`."""
        if name == "supervisord":
            return psutil.Process(json.loads((self.state / "supervisord.json").read_text())["pid"])
        states = {item["service"]: item for item in json.loads(self.run("status", "--json").stdout)["data"]["services"]}
        return psutil.Process(states[name]["pid"])

    def _owns(self, process: psutil.Process) -> bool:
        root = str(self.root)
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            if process.environ().get("LLM_GATEWAY_HOME") == root:
                return True
            outside = str(OUTSIDE / self.id)
            words = [*process.cmdline(), process.cwd()]
            return any(place in word for place in (root, outside) for word in words)
        return False

    @property
    def id(self) -> str:
        from llm_gateway.paths import Home as Paths

        return Paths(self.root).id

    def _command(self) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "llm_gateway"]

    def _identity(self) -> dict[str, Any]:
        if not self.user:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def eventually(self, probe: Callable[[], str], *, seconds: float) -> None:
        """Wait until `probe` answers ""."""
        reason = wait(probe, Deadline(seconds))
        assert not reason, f"not within {seconds} s: {reason}\n{self.logs()}"

    def nothing_runs(self, *, seconds: float = 5) -> None:
        """Assert that no process of this home is left."""

        self.eventually(lambda: "; ".join(map(_described, self.processes())), seconds=seconds)

    def close(self) -> None:
        """Stop, kill what is left, remove everything; a process that outlived `stop` is a failure."""
        stopped = self.run("stop") if (self.state / "supervisord.conf").exists() else None
        left = self.processes()
        _, left = psutil.wait_procs(left, timeout=3)
        described = list(map(_described, left))
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        shutil.rmtree(OUTSIDE / self.id, ignore_errors=True)
        shutil.rmtree(self.root, ignore_errors=True)
        assert not described, f"left running after stop ({stopped and stopped.stderr}): {described}"


def _described(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:160]}"
    return f"{process.pid}"


def clean_environ() -> dict[str, str]:
    """This process's environment without what steers the kit."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(_PRIVATE) and n not in _PRIVATE_NAMES}
    return {**kept, "PYTHONPATH": str(SOURCE)}


@contextlib.contextmanager
def home(
    *flags: str,
    name: str = "",
    below: Path | None = None,
    user: str = "",
    share: bool = True,
    config: Path | None = DEMO,
) -> Iterator[Home]:
    """A fresh home with free ports; stopped and removed in the end.

    Args:
        flags: `NAME=value` environment variables for every command.
        name: the directory's name, when the test is about it.
        below: where to make it; a directory that every user may enter by default.
        user: run the commands as this user; root only.
        share: use the session's prepared environments.
        config: the model config; None leaves the choice to the test.
    """
    # Below /tmp, not pytest's own directory: that one is 0700, and PostgreSQL runs as another user under root.
    parent = Path(tempfile.mkdtemp(prefix="kit-test-", dir=below or "/tmp"))
    parent.chmod(0o755)
    root = parent / (name or "home")
    root.mkdir()
    if share:
        (root / "venvs").symlink_to(shared_venvs())
    gateway, postgres, redis, probe = free_ports(4)
    environ = {
        **clean_environ(),
        "LLM_GATEWAY_HOME": str(root),
        "LLM_GATEWAY_GATEWAY_PORT": str(gateway),
        "LLM_GATEWAY_POSTGRES_PORT": str(postgres),
        "LLM_GATEWAY_REDIS_PORT": str(redis),
        "LLM_GATEWAY_PROBE_PORT": str(probe),
        "LLM_GATEWAY_WORKERS": "1",
        "LLM_GATEWAY_ENABLE_LANGFUSE": "false",
        **({"LLM_GATEWAY_CONFIG_FILE": str(config)} if config else {}),
        **dict(flag.split("=", 1) for flag in flags),
    }
    made = Home(root, {"gateway": gateway, "postgres": postgres, "redis": redis}, environ, user)
    if user:
        person = parent / "person"
        person.mkdir()
        made.environ["HOME"] = str(person)
        made.environ.pop("PIP_CONFIG_FILE", None)  # another user's may be closed to this one
        for path in (root, person):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    try:
        yield made
    finally:
        try:
            made.close()
        finally:
            shutil.rmtree(parent, ignore_errors=True)


def kill(process: psutil.Process | int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process that may have ended already."""
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        (psutil.Process(process) if isinstance(process, int) else process).send_signal(number)


def ordinary_user() -> str:
    """A user without rights who can run this Python and read this checkout; skips where there is none."""
    if os.geteuid() != 0:
        return ""
    entry = pwd.getpwnam("nobody")
    try:
        subprocess.run(
            [sys.executable, "-c", "import llm_gateway, litellm"],
            env={**clean_environ(), "HOME": "/", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            capture_output=True, check=True, cwd="/", user=entry.pw_uid, group=entry.pw_gid, extra_groups=[],
        )  # fmt: skip
    except (subprocess.CalledProcessError, PermissionError):
        pytest.skip("an ordinary user cannot run this Python or read this checkout")
    return "nobody"
