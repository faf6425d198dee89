"""What tests may need of a machine, and how to find out whether it is there.

`@pytest.mark.needs("chromium")` skips a test with the reason, or fails it when LLM_GATEWAY_TEST_REQUIRE names the
capability (or says `all`).
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.bootstrap.reach import check_index

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REQUIRE = "LLM_GATEWAY_TEST_REQUIRE"
# Taken before any test changes it: installers need the machine's own configuration.
ORIGINAL_ENVIRON: Mapping[str, str] = dict(os.environ)


def _run(*command: str) -> tuple[int, str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout + done.stderr).strip()


def _programs(*names: str) -> str:
    missing = [name for name in names if not shutil.which(name)]
    return f"not on PATH: {', '.join(missing)}" if missing else ""


def _docker() -> str:
    code, said = _run("docker", "info", "--format", "{{.ServerVersion}}")
    return "" if code == 0 else f"no Docker engine answers ({said.splitlines()[-1] if said else 'no output'})"


def _node() -> str:
    code, said = _run("node", "--version")
    if code or int(said.lstrip("v").split(".")[0]) < 20:
        return f"Node.js 20 or newer is not on PATH ({said})"
    return _programs("npm")


def _postgres() -> str:
    if shutil.which("postgres") or any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        return ""
    return "no PostgreSQL server is installed"


def _redis() -> str:
    return "" if shutil.which("redis-server") or shutil.which("valkey-server") else "no redis-server is installed"


def _index() -> str:
    blocked = check_index(ORIGINAL_ENVIRON)
    return str(blocked) if blocked else ""


def _root() -> str:
    return "" if os.geteuid() == 0 else "the tests do not run as root"


def _unprivileged_user() -> str:
    if os.geteuid() != 0:
        return "only root can become another user"
    return "" if any(entry.pw_name == "nobody" for entry in pwd.getpwall()) else "there is no user `nobody`"


def _mount() -> str:
    if os.geteuid() != 0:
        return "only root can mount a file system"
    with tempfile.TemporaryDirectory() as folder:
        code, said = _run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
        if code:
            return f"tmpfs cannot be mounted ({said})"
        _run("umount", folder)
    return ""


PROBES: dict[str, Callable[[], str]] = {
    "bash": lambda: _programs("bash"),
    "chromium": lambda: _programs("chromium", "chromedriver"),
    "docker": _docker,
    "git": lambda: _programs("git"),
    "index": _index,
    "mount": _mount,
    "node": _node,
    "postgres": _postgres,
    "prometheus": lambda: _programs("prometheus", "promtool"),
    "redis": _redis,
    "root": _root,
    "unprivileged-user": _unprivileged_user,
}


@functools.cache
def missing(name: str) -> str:
    """Why the machine lacks `name`, "" when it has it. Asked once per session."""
    return PROBES[name]()


def is_required(name: str) -> bool:
    wanted = {part.strip() for part in ORIGINAL_ENVIRON.get(REQUIRE, "").split(",")}
    return "all" in wanted or name in wanted


def unknown_requirements() -> set[str]:
    """Names in LLM_GATEWAY_TEST_REQUIRE that mean nothing: a typo must not make tests silently optional."""
    wanted = {part.strip() for part in ORIGINAL_ENVIRON.get(REQUIRE, "").split(",") if part.strip()}
    return wanted - PROBES.keys() - {"all"}
