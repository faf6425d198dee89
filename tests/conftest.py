"""Rules for every test: what a machine lacks is said, nothing of the person's set-up leaks in, nothing is left over."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from support.capabilities import PROBES, REQUIRE, is_required, missing, unknown_requirements
from support.install import session_environment
from support.leftovers import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is no counterexample.
settings.register_profile("kit", deadline=None)
settings.load_profile("kit")

_WATCH = pytest.StashKey[Watch]()
_LEFT = pytest.StashKey[list[str]]()
# Variables that choose what the kit does; a test sets the ones it means.
_PREFIXES = (
    "LLM_GATEWAY_",
    "LITELLM_",
    "LANGFUSE_",
    "REDIS_",
    "DATABASE_",
    "PRISMA_",
    "PRESIDIO_",
    "PROMETHEUS_",
    "LAGO_",
)
_NAMES = ("DATABASE_URL", "OPENAI_API_KEY", "STORE_MODEL_IN_DB", "UI_USERNAME", "UI_PASSWORD")


# Where the homes of a process find what is expensive to install; see support.home.shared_venvs.
_VENVS = "LLMGW_TEST_VENVS"


def pytest_configure(config: pytest.Config) -> None:
    if unknown := unknown_requirements():
        raise pytest.UsageError(f"{REQUIRE} names {sorted(unknown)}; known are {sorted(PROBES)} and `all`")
    is_worker = hasattr(config, "workerinput")
    config.stash[_LEFT] = []
    # With several processes each watches over what it starts itself.
    if is_worker or not getattr(config.option, "numprocesses", None):
        # One for each process: some tests break what is in it.
        directory = tempfile.mkdtemp(prefix="kit-test-venvs-", dir="/tmp")
        Path(directory).chmod(0o755)
        os.environ[_VENVS] = directory
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        config.stash[_WATCH] = watch = Watch()
        watch.begin()


class Nodes:
    """What the processes of a parallel run report; only there does pytest know this hook."""

    def __init__(self, left: list[str]) -> None:
        self._left = left

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._left += getattr(node, "workeroutput", {}).get("left", ["what a process that crashed had started"])


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.pluginmanager.register(Nodes(session.config.stash[_LEFT]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            reason = missing(name)
            if reason and is_required(name):
                pytest.fail(f"{REQUIRE} asks for {name}, but {reason}", pytrace=False)
            if reason:
                pytest.skip(f"needs {name}: {reason}")


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all installers of this session keep what they downloaded: empty at first, as on a fresh machine."""
    folder = tmp_path_factory.mktemp("caches")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, caches: Path) -> None:
    """A home directory of the test's own, and none of the variables that steer the kit.

    The machine's index, proxy and authorities stay: a test that wants others sets them.
    """
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            monkeypatch.delenv(name)
    for name, value in session_environment(caches).items():
        monkeypatch.setenv(name, value)


def pytest_sessionfinish(session: pytest.Session) -> None:
    left = session.config.stash[_LEFT]
    watch = session.config.stash.get(_WATCH, None)
    if watch:
        left += watch.left()
        watch.end()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = left
    if left and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("left over by the tests", red=True)
        for line in left:
            terminalreporter.line(line)


def pytest_report_header() -> str:
    absent = [f"{name} ({reason})" for name in PROBES if (reason := missing(name)) and not is_required(name)]
    return f"not here: {'; '.join(absent) or 'nothing'}"
