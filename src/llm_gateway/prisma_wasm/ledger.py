"""Prisma's ledger of migrations, the table `_prisma_migrations`: what is applied, what is pending."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from psycopg import sql

from llm_gateway.database.server import connect
from llm_gateway.database.url import parse
from llm_gateway.errors import PreconditionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from llm_gateway.database.server import Connection

State = Literal["empty", "current", "pending", "newer", "failed", "foreign-tables"]

# The columns of Prisma's own table.
CREATE = """
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
)"""
_INSERT = "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at) VALUES ({}, {}, {}, {})"
_DATED = re.compile(r"^\d{14}_")
_CONCURRENT = re.compile(r"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Migration:
    """One directory of litellm_proxy_extras' migrations."""

    name: str
    content: bytes

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def transactional(self) -> bool:
        """PostgreSQL refuses CREATE INDEX CONCURRENTLY in any transaction, the implicit one of a file too."""
        return not _CONCURRENT.search(_COMMENT.sub("", self.text))


@dataclass(frozen=True, slots=True)
class Failed:
    """A migration that was started and never finished. `logs` is empty when the process died."""

    id: str
    name: str
    started_at: datetime
    logs: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a database says about its migrations.

    Attributes:
        state: `newer` when it names migrations that the installed version does not have; `failed` when one
            was started and not finished; `foreign-tables` when there are tables but no ledger.
        applied: names, in the order of the installed migrations.
        pending: names still to apply.
        unknown: names that the installed version does not have.
        failed: unfinished ones.
    """

    state: State
    applied: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    failed: tuple[Failed, ...] = ()


def installed_migrations(directory: Path | None = None) -> tuple[Migration, ...]:
    """The migrations of `directory`, by default of the installed litellm_proxy_extras (not imported).

    Raises:
        PreconditionError: E427 there are none.
    """
    place = directory or _package_directory()
    names = sorted(path.parent.name for path in place.glob("*/migration.sql")) if place else []
    if not place or not names:
        raise PreconditionError(
            "E427",
            "LiteLLM's database migrations are missing",
            cause=f"no migration.sql below {place}" if place else "litellm-proxy-extras is not installed",
            next="llm-gateway init",
        )
    return tuple(Migration(name, (place / name / "migration.sql").read_bytes()) for name in names)


def _package_directory() -> Path | None:
    spec = find_spec("litellm_proxy_extras")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) / "migrations" if places else None


def inspect(url: str, *, migrations: Path | None = None) -> Ledger:
    """Say how a database stands to the installed migrations; writes nothing.

    Raises:
        GatewayError: E401 to E406 the database cannot be reached.
        PreconditionError: E427 there are no installed migrations.
    """
    target = parse(url)
    known = installed_migrations(migrations)
    with connect(target, application="llm-gateway-migrate") as connection:
        connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        use_schema(connection, target.schema)
        return read(connection, known, target.schema)


def use_schema(connection: Connection, schema: str) -> None:
    connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))


def read(connection: Connection, known: Sequence[Migration], schema: str) -> Ledger:
    """`inspect` on an open connection whose search path is `schema`."""
    names = [migration.name for migration in known]
    state: State
    if not _has_table(connection, schema, "_prisma_migrations"):
        state = "foreign-tables" if _has_table(connection, schema) else "empty"
        return Ledger(state, pending=tuple(names))
    rows = connection.execute(
        "SELECT id, migration_name, started_at, finished_at, logs FROM _prisma_migrations "
        "WHERE rolled_back_at IS NULL ORDER BY started_at"
    ).fetchall()
    done = {str(name) for _, name, _, finished, _ in rows if finished is not None}
    open_ = [Failed(i, name, started, logs or "") for i, name, started, end, logs in rows if end is None]
    # Without a date it is a baseline that somebody made by hand, such as 0_init.
    unknown = tuple(sorted(name for name in done - set(names) if _DATED.match(name)))
    failed = tuple(row for row in open_ if row.name not in done)
    pending = tuple(name for name in names if name not in done)
    if unknown:
        state = "newer"
    elif failed:
        state = "failed"
    elif not rows and _has_table(connection, schema):
        state = "foreign-tables"
    else:
        state = "pending" if pending else "current"
    return Ledger(state, tuple(name for name in names if name in done), pending, unknown, failed)


def _has_table(connection: Connection, schema: str, name: str | None = None) -> bool:
    """Whether the schema has this table; without a name: any but the ledger and those of extensions."""
    query = (
        "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND "
    )
    if name:
        return connection.execute((query + "c.relname = %s").encode(), [schema, name]).fetchone() is not None
    others = (
        "c.relname <> '_prisma_migrations' AND NOT EXISTS "
        "(SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')"
    )
    return connection.execute((query + others).encode(), [schema]).fetchone() is not None


def start_row(migration: Migration) -> sql.Composed:
    """The statement that records the start of a migration."""
    return sql.SQL(_INSERT).format(
        sql.Literal(str(uuid.uuid4())),
        sql.Literal(migration.checksum),
        sql.Literal(migration.name),
        sql.SQL("clock_timestamp()"),
    )


def finish_row(name: str) -> sql.Composed:
    """The statement that records the end of a migration that was started."""
    return sql.SQL(
        "UPDATE _prisma_migrations SET applied_steps_count = 1, finished_at = clock_timestamp() "
        "WHERE migration_name = {} AND finished_at IS NULL AND rolled_back_at IS NULL"
    ).format(sql.Literal(name))
