"""Real installations for tests: a copy of the checkout, caches of the session's own, one complete home.

`tests/native/conftest.py` offers the fixtures. `installed_home` is the expensive one (10 to 20 s, once per session).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.capabilities import ORIGINAL_ENVIRON, missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
_PARTS = (
    "pyproject.toml", "README.md", "LICENSE", "devcontainer-feature.json", "configs", "compose", "src", "scripts"
)  # fmt: skip
# What building the kit needs: the smallest environment in which an installation can end well.
_BUILD = ("hatchling", "packaging", "pathspec", "pluggy", "trove-classifiers")
_RECORDER = '''"""Stands in for the kit's command line: prints how it was called."""
import json, os, sys
def main() -> int:
    print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "home": os.environ.get("LLM_GATEWAY_HOME")}))
    return 0
'''


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository's files as a clone would have them."""

    path: Path

    @property
    def start(self) -> Path:
        return self.path / "scripts/start_llm_gateway.sh"

    @property
    def home(self) -> Path:
        return self.path / ".llm_gateway"

    @property
    def requirements(self) -> Path:
        return self.path / "src/llm_gateway/requirements"

    def run(
        self, *arguments: str | Path, env: Mapping[str, str], cwd: Path | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run the start script."""
        return run([self.start, *arguments], env=env, cwd=cwd or self.path, timeout=timeout)


def run(
    command: list[str | Path], *, env: Mapping[str, str], cwd: Path, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and keep what it says; it never waits for input."""
    return subprocess.run(
        [str(word) for word in command],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def make_checkout(path: Path) -> Checkout:
    """Copy the repository's files to `path`."""
    path.mkdir(parents=True)
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, path / part, symlinks=True, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, path / part)
    return Checkout(path)


def make_small_checkout(path: Path) -> Checkout:
    """A checkout whose gateway environment holds the build tools only, and whose command prints how it was called.

    Installer, scripts, index and uv are the real ones; it takes a second instead of ten.
    """
    checkout = make_checkout(path)
    lock_file = checkout.requirements / "gateway.txt"
    lock_file.write_text(only(lock_file.read_text(), *_BUILD))
    (checkout.path / "src/llm_gateway/cli/__init__.py").write_text(_RECORDER)
    return checkout


def install(
    checkout: Checkout, home: Path, *arguments: str, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """What the start script does before it hands over."""
    program = checkout.path / "src/llm_gateway/bootstrap/__main__.py"
    command = [base_python(), "-I", "-B", program, "install", "--home", home, "--", *arguments]
    return run(command, env=env, cwd=checkout.path)


def only(lock: str, *names: str) -> str:
    """The entries of a locked requirements file for these packages."""
    entries = re.split(r"\n(?=\S)", lock)
    return "\n".join(entry for entry in entries if entry.split("==")[0] in names) + "\n"


def session_environment(caches: Path) -> dict[str, str]:
    """The machine's own environment with its index, proxy and authorities, but caches of the session's own."""
    home = Path(ORIGINAL_ENVIRON.get("HOME", "/nonexistent"))
    found = {
        "UV_CACHE_DIR": str(caches / "uv"),
        "PIP_CACHE_DIR": str(caches / "pip"),
        "npm_config_cache": str(caches / "npm"),
    }
    pip = next((file for file in (home / ".config/pip/pip.conf", home / ".pip/pip.conf") if file.is_file()), None)
    if pip and "PIP_CONFIG_FILE" not in ORIGINAL_ENVIRON:
        found["PIP_CONFIG_FILE"] = str(pip)
    if (home / ".npmrc").is_file() and "npm_config_userconfig" not in ORIGINAL_ENVIRON:
        found["npm_config_userconfig"] = str(home / ".npmrc")
    return found


def environment(**changes: str) -> dict[str, str]:
    """This test's isolated environment for a child: the tests' own tools and Python are not in the way."""
    env = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    tools = str(Path(sys.prefix) / "bin")
    path = [folder for folder in env.get("PATH", os.defpath).split(os.pathsep) if folder != tools]
    return {**env, "PATH": os.pathsep.join(path), "LLM_GATEWAY_PYTHON": base_python(), **changes}


def base_python() -> str:
    return str(getattr(sys, "_base_executable", sys.executable))


@dataclass(frozen=True)
class InstalledHome:
    """A home in which everything that a first start installs for the gateway is there, and nothing runs."""

    root: Path
    checkout: Checkout

    @property
    def venv(self) -> Path:
        return self.root / "venvs/gateway"

    @property
    def program(self) -> Path:
        return self.venv / "bin/llm-gateway"


@pytest.fixture(scope="session")
def installed_home(tmp_path_factory: pytest.TempPathFactory, caches: Path) -> Iterator[InstalledHome]:
    """The gateway's real environment, installed as the start script does it for a newcomer.

    PYTHONDONTWRITEBYTECODE is exported on purpose: byte code must be there all the same.
    """
    if reason := missing("index"):
        pytest.skip(f"needs index: {reason}")
    folder = tmp_path_factory.mktemp("installed home")  # with a space, as some people have
    checkout = make_checkout(folder / "clone")
    env = environment(PYTHONDONTWRITEBYTECODE="1", **session_environment(caches))
    done = install(checkout, folder / "home", env=env)
    assert done.returncode == 0, done.stderr
    yield InstalledHome(folder / "home", checkout)
    shutil.rmtree(folder, ignore_errors=True)
