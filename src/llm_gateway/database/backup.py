"""Dump a database before something changes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.database.server import connect
from llm_gateway.database.url import DatabaseUrl, parse
from llm_gateway.errors import GatewayError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEPT = 5
_PREFIX, _SUFFIX = "backup-", ".dump"
# A custom-format dump is compressed; half of the database's size leaves a margin.
_EXPECTED_SHARE = 0.5
_SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished dump. Restore it with `pg_restore --clean --if-exists --dbname=URL FILE`."""

    path: Path
    bytes: int
    server: str
    removed: tuple[Path, ...]


def dump(url: str, directory: Path, *, search: Sequence[Path] = (), timeout: float = 900) -> Backup:
    """Write a dump (pg_dump's custom format, 0600) and keep the last five.

    Args:
        url: the database.
        directory: where dumps are kept; created 0700.
        search: directories with PostgreSQL programs, looked at before PATH.
        timeout: seconds after which pg_dump is ended.

    Raises:
        PreconditionError: E431 there is no pg_dump that is new enough, E432 the disk is too full.
        GatewayError: E433 pg_dump failed; E401 to E406 the database cannot be reached.
    """
    target = parse(url)
    with connect(target) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, "
            "pg_database_size(current_database())"
        ).fetchone()
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    version, major, size = str(row[0]), int(row[1]), int(row[2])
    program = _pg_dump(major, search, version)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_space(directory, size)
    # Microseconds, so that the names sort by time and two dumps never share one.
    path = directory / f"{_PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}{_SUFFIX}"
    unfinished = path.with_suffix(".part")
    try:
        _run(program, target, unfinished, timeout)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return Backup(path, path.stat().st_size, version, _prune(directory))


def _pg_dump(server_major: int, search: Sequence[Path], version: str) -> Path:
    """The program nearest to the server: pg_dump reads servers up to its own major version."""
    usable: dict[int, Path] = {}
    for place in [*search, *(Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p)]:
        program = place / "pg_dump"
        if os.access(program, os.X_OK) and (major := _major(program)) >= server_major:
            usable.setdefault(major, program)
    if not usable:
        raise PreconditionError(
            "E431",
            f"there is no pg_dump for PostgreSQL {version}",
            cause=f"it must be version {server_major} or newer",
            next=f"install postgresql-client-{server_major}, or back up by hand and start with --no-backup",
        )
    return usable[min(usable)]


def _major(program: Path) -> int:
    try:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\b(\d+)(?:\.|devel|beta|rc|\s|$)", text)
    return int(found[1]) if found else 0


def _check_space(directory: Path, size: int) -> None:
    free = shutil.disk_usage(directory).free
    needed = int(size * _EXPECTED_SHARE) + _SPARE_BYTES
    if free < needed:
        raise PreconditionError(
            "E432",
            f"there is not enough room for a backup in {directory}",
            cause=f"{free >> 20} MiB are free, {needed >> 20} MiB may be needed",
            next="free some space, or move old backups away",
        )


def _run(program: Path, target: DatabaseUrl, path: Path, timeout: float) -> None:
    # The file exists with its mode before anything is written into it.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    command = [
        str(program),
        "--format=custom",
        f"--file={path}",
        f"--dbname={target.libpq(with_password=False)}",
    ]
    environment = {**os.environ, "PGPASSWORD": target.password, "PGCONNECT_TIMEOUT": "10"}
    try:
        done = subprocess.run(
            [*command, "--no-password"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        reason = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"pg_dump did not finish within {timeout:.0f} s"
    if reason:
        raise GatewayError(
            "E433",
            f"the backup of {target.place} failed",
            cause=reason[-600:],
            next="correct the cause, then run the command again; nothing was changed",
        )


def _dumps(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.glob(f"{_PREFIX}*{_SUFFIX}"), reverse=True) if path.is_file())


def _prune(directory: Path) -> tuple[Path, ...]:
    old = tuple(_dumps(directory))[KEPT:]
    for path in old:
        path.unlink()
    return old
