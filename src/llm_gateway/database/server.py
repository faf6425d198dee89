"""Connect to PostgreSQL, and make a role and a database on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from llm_gateway.database.url import DatabaseUrl, parse
from llm_gateway.errors import GatewayError, PreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable

Connection = psycopg.Connection[tuple[Any, ...]]
_CONNECT_SECONDS = 5
# libpq gives text for a failed connection, no code. The order matters: a TLS failure names the server too.
_FAILURES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"certificate|SSL|TLS|no encryption",
        "E404",
        "the encrypted connection to the database failed",
        "check sslmode and sslrootcert in DATABASE_URL, and the name in the server's certificate",
    ),
    (
        r"password authentication failed|no password supplied|authentication failed|role .* does not exist",
        "E402",
        "the database refuses the user or the password",
        "correct user and password in DATABASE_URL",
    ),
    (
        r"database .* does not exist",
        "E403",
        "the database does not exist",
        "create it (createdb NAME), or correct the name in DATABASE_URL",
    ),
    (
        r"starting up|shutting down|in recovery|not (?:yet )?accepting",
        "E405",
        "the database server is not ready yet",
        "wait a moment, then run the command again",
    ),
    (
        r"refused|resolve|not known|timeout|timed out|unreachable|No route|No such file|connection closed",
        "E401",
        "the database server cannot be reached",
        "start PostgreSQL, or correct host and port in DATABASE_URL",
    ),
)


def connect(url: str | DatabaseUrl, *, application: str = "llm-gateway", **options: Any) -> Connection:
    """Open a connection in autocommit mode.

    Args:
        url: with Prisma's or libpq's parameters.
        application: the name that the server shows for this connection.
        options: further connection parameters of libpq; they win.

    Raises:
        InputError: E407 the URL cannot be read.
        GatewayError: E401 not reachable, E402 wrong user or password, E403 no such database, E404 TLS,
            E405 not ready yet, E406 any other refusal.
    """
    target = parse(url) if isinstance(url, str) else url
    given = dict(target.parameters)
    defaults: dict[str, Any] = {"connect_timeout": _seconds(given.get("connect_timeout"))}
    if "application_name" not in given:
        defaults["application_name"] = application
    try:
        # Prepared statements would break behind a transaction pooler.
        return psycopg.connect(target.libpq(), autocommit=True, prepare_threshold=None, **{**defaults, **options})
    except psycopg.Error as error:
        raise _failure(target, error) from None


def _seconds(text: str | None) -> int:
    """Libpq takes 0 for "wait for ever", and so would a value it cannot read."""
    return int(text) if text and text.isdecimal() and int(text) > 0 else _CONNECT_SECONDS


def _failure(target: DatabaseUrl, error: psycopg.Error) -> GatewayError:
    text = " ".join(str(error).split())
    if target.password:
        text = text.replace(target.password, "***")
    for pattern, code, message, following in _FAILURES:
        if re.search(pattern, text):
            return GatewayError(code, f"{message}: {target.place}", cause=text, next=following)
    return GatewayError(
        "E406", f"the database refuses the connection: {target.place}", cause=text, next="llm-gateway doctor"
    )


@dataclass(frozen=True, slots=True)
class Ensured:
    """What `ensure_database` changed."""

    role_created: bool
    password_changed: bool
    database_created: bool

    @property
    def changed(self) -> bool:
        return self.role_created or self.password_changed or self.database_created


def ensure_database(admin_url: str, *, name: str, role: str, password: str) -> Ensured:
    """Make sure that `role` can log in with `password` and owns a database `name`.

    A database that exists keeps its owner and content. A password is set only when it differs.

    Raises:
        GatewayError: E401 to E406 connecting as the administrator, or
        PreconditionError: E430 the administrator may not create what is missing.
    """
    admin = parse(admin_url)
    with connect(admin) as connection:
        # Two at once would collide in the catalogue; the lock ends with the connection.
        connection.execute("SELECT pg_advisory_lock(hashtext('llm_gateway.ensure_database'))")
        role_exists = _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role)
        database_exists = _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name)
        # A role without rights is fine as long as nothing is missing, so ask before doing anything.
        logs_in = role_exists and _logs_in(admin, name if database_exists else admin.name, role, password)
        if role_exists and database_exists and logs_in:
            return Ensured(role_created=False, password_changed=False, database_created=False)
        if not role_exists:
            _try(lambda: _role(connection, "CREATE", role, password), f"create the role {role}", ("42710",))
        elif not logs_in:
            _try(lambda: _role(connection, "ALTER", role, password), f"set the password of the role {role}")
        if not database_exists:
            _try(lambda: _create(connection, name, role), f"create the database {name}", ("42P04", "23505"))
    return Ensured(
        role_created=not role_exists,
        password_changed=role_exists and not logs_in,
        database_created=not database_exists,
    )


def _exists(connection: Connection, query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None


def _logs_in(admin: DatabaseUrl, database: str, role: str, password: str) -> bool:
    """A server that trusts local connections accepts any password; then there is nothing to set either."""
    try:
        connect(DatabaseUrl(role, password, admin.host, admin.port, database, admin.parameters)).close()
    except GatewayError as error:
        return error.problem.code != "E402"
    return True


def _role(connection: Connection, verb: str, role: str, password: str) -> None:
    # Hashed here, so that the password does not reach the server's log.
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.SQL(verb), sql.Identifier(role), sql.Literal(hashed)))


def _create(connection: Connection, name: str, role: str) -> None:
    # An administrator who is no superuser must be a member of the role to give it a database.
    if not _exists(connection, "SELECT 1 WHERE pg_has_role(current_user, %s, 'MEMBER')", role):
        statement = sql.SQL("GRANT {} TO CURRENT_USER")
        connection.execute(statement.format(sql.Identifier(role)))
    create = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0")
    connection.execute(create.format(sql.Identifier(name), sql.Identifier(role)))


def _try(action: Callable[[], None], what: str, already: tuple[str, ...] = ()) -> None:
    """Run `action`; SQLSTATEs in `already` mean that somebody else did it at the same moment."""
    try:
        action()
    except psycopg.Error as error:
        if error.sqlstate in already:
            return
        raise PreconditionError(
            "E430",
            f"cannot {what}",
            cause=" ".join(str(error).split()),
            next="let a PostgreSQL administrator do it, then set DATABASE_URL to the result",
        ) from None
