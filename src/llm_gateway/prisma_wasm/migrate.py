"""Apply LiteLLM's migrations as Prisma's schema engine would, with the same ledger.

A file is sent as one query, so PostgreSQL runs it as one transaction. Its ledger row travels in the same
query: a process that dies half-way leaves neither tables nor a row, and the next run simply goes on. Files
with CREATE INDEX CONCURRENTLY cannot be in a transaction; an interrupted one leaves an open row and an
invalid index, and both are cleared away before it is tried again.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from llm_gateway.database.server import connect
from llm_gateway.database.url import DatabaseUrl, parse
from llm_gateway.errors import DeadlineError, GatewayError
from llm_gateway.prisma_wasm.ledger import (
    CREATE,
    Failed,
    Ledger,
    Migration,
    finish_row,
    inspect,
    installed_migrations,
    read,
    start_row,
    use_schema,
)
from llm_gateway.probes import Deadline, wait

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from llm_gateway.database.server import Connection

__all__ = ["Ledger", "MigrationError", "Report", "apply", "inspect", "resolve_applied", "resolve_rolled_back"]

# Prisma's own advisory lock: its CLI and LiteLLM's recovery take the same.
LOCK = 72707369
NO_LOCK = "PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK"
# The server rolled everything back because of somebody else: worth another try, nothing to record.
_TRANSIENT = frozenset({"40P01", "40001", "55P03"})
_ATTEMPTS = 3
_INDEX = re.compile(r"CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?\"([^\"]+)\"", re.IGNORECASE)
_BEFORE_REPAIR = "look at the table _prisma_migrations and the database, repair, then: "


class MigrationError(GatewayError):
    """The database cannot be migrated. `prisma` is what Prisma's CLI would print; LiteLLM reads it."""

    def __init__(self, code: str, message: str, *, cause: str, next: str, prisma: str) -> None:  # noqa: A002
        super().__init__(code, message, cause=cause, next=next)
        self.prisma = prisma


class MigrationLockError(DeadlineError):
    """Somebody else holds the migration lock. `prisma` is the text that LiteLLM understands as "wait"."""

    prisma = f"Error: P1002\n\nTimed out trying to acquire a postgres advisory lock ({LOCK})."


@dataclass(frozen=True, slots=True)
class Report:
    """What `apply` did."""

    applied: tuple[str, ...]
    total: int
    seconds: float


def apply(url: str, *, deadline: Deadline, migrations: Path | None = None) -> Report:
    """Apply what is pending. Two at once are safe: the second waits, then finds nothing to do.

    Args:
        url: the database; Prisma's `schema` parameter is honoured and the schema made when it is missing.
        deadline: bounds the wait for the lock, and is looked at between migrations, never inside one.
        migrations: the directory; by default the installed litellm_proxy_extras'.

    Raises:
        MigrationError: E421 tables without a ledger, E422 an earlier migration failed, E423 one failed now,
            E424 the database belongs to a newer version.
        DeadlineError: E425 the lock was not free in time, E426 the deadline passed between two migrations.
        GatewayError: E401 to E406 the database cannot be reached.
    """
    started = time.monotonic()
    target = parse(url)
    known = installed_migrations(migrations)
    with connect(target, application="llm-gateway-migrate") as connection:
        _lock(connection, deadline)
        _open_schema(connection, target)
        todo = _todo(connection, known, target)
        connection.execute(CREATE)
        for number, migration in enumerate(todo):
            if deadline.passed:
                raise DeadlineError(
                    "E426",
                    f"the migrations did not finish in time: {number} of {len(todo)} are applied",
                    cause="the database server is slow",
                    next="run the command again with a longer --timeout; it goes on where it stopped",
                )
            _run(connection, migration)
    return Report(tuple(migration.name for migration in todo), len(known), time.monotonic() - started)


def resolve_rolled_back(url: str, name: str) -> None:
    """Record that the unfinished migration `name` was undone by hand; it is applied again next time."""
    target = parse(url)
    with connect(target, application="llm-gateway-migrate") as connection:
        use_schema(connection, target.schema)
        _mark_rolled_back(connection, name)


def resolve_applied(url: str, name: str, *, migrations: Path | None = None) -> None:
    """Record that the changes of migration `name` are in the database.

    Raises:
        MigrationError: E428 it is recorded already, E429 it is not known.
    """
    target = parse(url)
    known = installed_migrations(migrations)
    migration = next((one for one in known if one.name == name), None)
    if migration is None:
        raise MigrationError(
            "E429",
            f"the migration {name} is not known",
            cause="the installed litellm-proxy-extras does not have it",
            next="llm-gateway-prisma migrate deploy",
            prisma=f"Error: P3017\n\nThe migration {name} could not be found.",
        )
    with connect(target, application="llm-gateway-migrate") as connection:
        _open_schema(connection, target)
        connection.execute(CREATE)
        if name in read(connection, known, target.schema).applied:
            raise MigrationError(
                "E428",
                f"the migration {name} is applied already",
                cause="the table _prisma_migrations says so",
                next="nothing is to be done",
                prisma=f"Error: P3008\n\n{name} is already recorded as applied in the database.",
            )
        with connection.transaction():
            _mark_rolled_back(connection, name)
            connection.execute(start_row(migration))
            connection.execute(finish_row(name))


def _mark_rolled_back(connection: Connection, name: str) -> None:
    connection.execute(
        "UPDATE _prisma_migrations SET rolled_back_at = now() "
        "WHERE migration_name = %s AND finished_at IS NULL AND rolled_back_at IS NULL",
        [name],
    )


def _open_schema(connection: Connection, target: DatabaseUrl) -> None:
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create even when there is nothing to create.
    if not connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [target.schema]).fetchone():
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(target.schema)))
    use_schema(connection, target.schema)


def _lock(connection: Connection, deadline: Deadline) -> None:
    """Held until the connection closes, so a killed process does not keep it."""
    if os.environ.get(NO_LOCK):
        return

    def free() -> str:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        return "" if row == (True,) else "another migration is running"

    if wait(free, deadline):
        raise MigrationLockError(
            "E425",
            "another process migrates this database and did not finish in time",
            cause=f"it holds the advisory lock {LOCK}",
            next="wait for it, then run the command again; pg_locks names the holder",
        )


def _todo(connection: Connection, known: Sequence[Migration], target: DatabaseUrl) -> list[Migration]:
    """The pending migrations, after the database was found fit for them."""
    ledger = read(connection, known, target.schema)
    if ledger.state == "failed" and _repair(connection, known, ledger.failed):
        ledger = read(connection, known, target.schema)
    if ledger.state == "foreign-tables":
        raise MigrationError(
            "E421",
            f"the database {target.place} has tables, but not LiteLLM's ledger of migrations",
            cause="it belongs to another program, or was made without migrations",
            next="name another database in DATABASE_URL",
            prisma="Error: P3005\n\nThe database schema is not empty.",
        )
    if ledger.state == "newer":
        raise MigrationError(
            "E424",
            f"the database {target.place} belongs to a newer version of LiteLLM",
            cause=f"it has {len(ledger.unknown)} migrations that this version does not know, "
            f"the last one {ledger.unknown[-1]}",
            next="use that version again, or pg_restore an older backup into another database",
            prisma="The database was migrated by a newer version: " + ", ".join(ledger.unknown),
        )
    if ledger.state == "failed":
        raise _failed_earlier(ledger.failed[0])
    pending = set(ledger.pending)
    return [migration for migration in known if migration.name in pending]


def _failed_earlier(failed: Failed) -> MigrationError:
    started = failed.started_at.isoformat(sep=" ")
    return MigrationError(
        "E422",
        f"the migration {failed.name} was started at {started} and did not finish",
        cause=failed.logs.strip()[-600:] or "the program that ran it died; whether its changes are there is not known",
        next=f"{_BEFORE_REPAIR}llm-gateway-prisma migrate resolve --applied|--rolled-back {failed.name}",
        prisma="Error: P3009\n\nmigrate found failed migrations in the target database.\n"
        f"The `{failed.name}` migration started at {started} failed",
    )


def _repair(connection: Connection, known: Sequence[Migration], failed: Sequence[Failed]) -> bool:
    """Clear away interrupted CREATE INDEX CONCURRENTLY files; False when something else is unfinished."""
    by_name = {migration.name: migration for migration in known}
    for row in failed:
        migration = by_name.get(row.name)
        if migration is None or migration.transactional or row.logs:
            return False
    for row in failed:
        for index in _INDEX.findall(by_name[row.name].text):
            invalid = connection.execute(
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid",
                [sql.Identifier(index).as_string(connection)],
            ).fetchone()
            if invalid:
                connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(index)))
        _mark_rolled_back(connection, row.name)
    return True


def _run(connection: Connection, migration: Migration) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _send(connection, migration)
            return
        except psycopg.Error as error:
            transient = migration.transactional and error.sqlstate in _TRANSIENT
            if transient and attempt < _ATTEMPTS:
                continue
            if not transient and not connection.closed:
                _record_failure(connection, migration, str(error))
            raise _failed_now(migration, error) from error


def _send(connection: Connection, migration: Migration) -> None:
    """Without parameters psycopg sends the text as it is, and the server splits it into statements."""
    if migration.transactional:
        start, finish = (part.as_string(connection) for part in (start_row(migration), finish_row(migration.name)))
        connection.execute(f"{start};\n{migration.text}\n;{finish}".encode())
        return
    connection.execute(start_row(migration))
    connection.execute(migration.content)
    connection.execute(finish_row(migration.name))


def _record_failure(connection: Connection, migration: Migration, logs: str) -> None:
    with connection.transaction():
        if migration.transactional:
            connection.execute(start_row(migration))
        connection.execute(
            "UPDATE _prisma_migrations SET logs = %s "
            "WHERE migration_name = %s AND finished_at IS NULL AND rolled_back_at IS NULL",
            [logs, migration.name],
        )


def _failed_now(migration: Migration, error: psycopg.Error) -> MigrationError:
    text = str(error).strip()
    return MigrationError(
        "E423",
        f"the migration {migration.name} failed",
        cause=text,
        next=f"{_BEFORE_REPAIR}llm-gateway-prisma migrate resolve --rolled-back {migration.name}",
        prisma=f"Error: P3018\n\nA migration failed to apply.\n\nMigration name: {migration.name}\n\n"
        f"Database error code: {error.sqlstate or 'unknown'}\n\nDatabase error:\n{text}",
    )
