"""A whole real gateway for tests, started as a person starts it: `llm-gateway start --detach` in a home of its own.

tests/native/conftest.py offers `stack` to all tests there: one PostgreSQL, Redis and LiteLLM for the session. Tests
that need another config start a gateway of their own with `started`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
import yaml

from llm_gateway.probes import Deadline, wait
from llm_gateway.resources import resource
from support.capabilities import ORIGINAL_ENVIRON
from support.leftovers import MARK
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# What a developer's shell may hold and a test must not see.
_PRIVATE = (
    "LLM_GATEWAY_",
    "LITELLM_",
    "LANGFUSE_",
    "REDIS_",
    "PRESIDIO_",
    "PROMETHEUS_",
    "OPENAI_",
    "AWS_",
    "OLLAMA_",
    "UI_",
    "PRISMA_",
)
_PRIVATE_NAMES = {"DATABASE_URL", "DIRECT_URL", "STORE_MODEL_IN_DB", "UI_USERNAME", "UI_PASSWORD"}
# Short cycles, so that a budget's reset and the spend can be seen in seconds.
_QUICK = {
    "proxy_budget_rescheduler_min_time": 1,
    "proxy_budget_rescheduler_max_time": 1,
    "proxy_batch_write_at": 1,
    "proxy_config_reload_interval_seconds": 1,
}


@dataclass
class Gateway:
    """A running gateway. `data` is what `start --json` said; a restart renews it."""

    home: Path
    environment: Mapping[str, str] = field(repr=False)
    data: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        return str(self.data["url"])

    @property
    def key(self) -> str:
        """The seeded virtual key; without a database the master key."""
        return str(self.data["key"])

    @property
    def master_key(self) -> str:
        return str(self.data["ui"]["password"])

    def run(self, *arguments: str, timeout: float = 200) -> subprocess.CompletedProcess[str]:
        """Run a verb of the command line in this home; the exit code is the caller's business."""
        return subprocess.run(
            [sys.executable, "-m", "llm_gateway", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ask(self, verb: str, *arguments: str) -> Any:
        """The `data` of a verb that must succeed."""
        done = self.run(verb, *arguments, "--json")
        assert done.returncode == 0, f"llm-gateway {verb}: {done.stdout}\n{done.stderr}\n{self.log()}"
        return json.loads(done.stdout)["data"]

    def restart(self) -> None:
        self.data = self.ask("restart")

    def log(self, lines: int = 30) -> str:
        """The end of the gateway's log, for a failure's message."""
        path = self.home / "logs" / "llm-gateway.log"
        return "\n".join(path.read_text(encoding="utf-8").splitlines()[-lines:]) if path.exists() else ""

    def client(self, key: str = "", *, path: str = "/v1") -> openai.OpenAI:
        """The official client. It does not retry: a refusal is an answer."""
        return openai.OpenAI(base_url=self.url + path, api_key=key or self.key, max_retries=0, timeout=60)

    def api(self, method: str, path: str, *, key: str = "", **request: Any) -> httpx.Response:
        """A call with the master key, or another one."""
        headers = {"Authorization": f"Bearer {key or self.master_key}"}
        return httpx.request(method, self.url + path, headers=headers, timeout=60, trust_env=False, **request)

    def new_key(self, **fields: Any) -> str:
        """A virtual key made through the API."""
        answer = self.api("POST", "/key/generate", json=fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["key"])


def eventually(look: Callable[[], Any], *, seconds: float = 30, what: str = "it") -> Any:
    """What `look` gives as soon as it gives something true; fails after `seconds`."""
    found: list[Any] = [None]

    def probe() -> str:
        found[0] = look()
        return "" if found[0] else f"{what} did not happen within {seconds:.0f} s"

    reason = wait(probe, Deadline(seconds))
    assert not reason, f"{reason}; last seen: {found[0]!r}"
    return found[0]


@contextmanager
def started(
    config: Path,
    *flags: str,
    variables: Mapping[str, str] | None = None,
    venvs: Path | None = None,
) -> Iterator[Gateway]:
    """Start a gateway in a temporary home; stop it and remove the home in the end.

    Args:
        config: the model config.
        flags: further ones of `llm-gateway start`.
        variables: environment variables on top of a clean environment.
        venvs: directory with venvs of another home to share, so that nothing is installed twice.
    """
    home = Path(tempfile.mkdtemp(prefix="llm-gateway-test-"))
    home.chmod(0o755)  # PostgreSQL runs as another user when the tests run as root
    if venvs is not None:
        (home / "venvs").symlink_to(venvs)
    gateway = Gateway(home, {**_clean_environment(home), **(variables or {})})
    try:
        gateway.data = gateway.ask(
            "start", "--detach", "--auto-ports", "--no-enable-langfuse", "--config", str(config), *flags
        )
        yield gateway
    finally:
        stopped = gateway.run("stop")
        shutil.rmtree(home, ignore_errors=True)
        assert stopped.returncode == 0, stopped.stderr


def written(directory: Path, name: str, config: Mapping[str, Any]) -> Path:
    """A config as a file."""
    path = directory / name
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    return path


def starter(name: str, *, replace: Mapping[str, str] | None = None) -> str:
    """The text of configs/model-config-NAME.yaml; every text to `replace` must be in it."""
    text = (resource("configs") / f"model-config-{name}.yaml").read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        assert old in text, f"model-config-{name}.yaml no longer contains {old}"
        text = text.replace(old, new)
    return text


def quick(config: str) -> dict[str, Any]:
    """A config whose budgets, spend and models from the database are looked at every second."""
    value: dict[str, Any] = yaml.safe_load(config)
    value["general_settings"] = {**(value.get("general_settings") or {}), **_QUICK}
    return value


def _clean_environment(home: Path) -> dict[str, str]:
    """The machine's environment without what a developer's shell may say to the kit, and free ports."""
    kept = {
        name: value
        for name, value in ORIGINAL_ENVIRON.items()
        if not name.startswith(_PRIVATE) and name not in _PRIVATE_NAMES
    }
    # --auto-ports is for the case that somebody takes one of them meanwhile.
    ports = {f"LLM_GATEWAY_{name}_PORT": str(free_port()) for name in ("GATEWAY", "POSTGRES", "REDIS")}
    return {**kept, **ports, MARK: os.environ[MARK], "LLM_GATEWAY_HOME": str(home)}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The demo config on PostgreSQL and Redis, with short cycles."""
    config = written(tmp_path_factory.mktemp("stack"), "demo.yaml", quick(starter("demo")))
    with started(config) as gateway:
        yield gateway
