"""Remember which LITELLM_SALT_KEY a database was written with.

LiteLLM encrypts credentials and models with it; another key makes them unreadable. Only a keyed fingerprint
is kept, slow to compute, so that a weak key cannot be guessed from a copy of the database.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Literal

import psycopg

from llm_gateway.database.server import connect

if TYPE_CHECKING:
    from llm_gateway.database.server import Connection

SaltState = Literal["new", "same", "different"]
_KEY = "salt_fingerprint"
_CONTEXT = b"llm-gateway salt fingerprint 1"
_ROUNDS = 100_000


def fingerprint(salt: str) -> str:
    """A one-way name of the salt key."""
    return hashlib.pbkdf2_hmac("sha256", salt.encode(), _CONTEXT, _ROUNDS).hex()


def check_salt(url: str, salt: str) -> SaltState:
    """Compare `salt` with what the database remembers; writes nothing.

    Returns:
        "new" when the database remembers none.

    Raises:
        GatewayError: E401 to E406 the database cannot be reached.
    """
    with connect(url) as connection:
        known = _known(connection)
    if known is None:
        return "new"
    return "same" if hmac.compare_digest(known, fingerprint(salt)) else "different"


def record_salt(url: str, salt: str) -> None:
    """Remember `salt` for later `check_salt` calls. Replaces what was remembered.

    Raises:
        GatewayError: E401 to E406 the database cannot be reached.
    """
    with connect(url) as connection, connection.transaction():
        # Two starts at once: CREATE … IF NOT EXISTS alone can collide in the catalogue.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('llm_gateway.state'))")
        if connection.execute("SELECT to_regclass('llm_gateway.state')").fetchone() == (None,):
            connection.execute("CREATE SCHEMA IF NOT EXISTS llm_gateway")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS llm_gateway.state "
                "(key text PRIMARY KEY, value text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())"
            )
        connection.execute(
            "INSERT INTO llm_gateway.state (key, value) VALUES (%s, %s) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now() "
            "WHERE state.value <> excluded.value",
            [_KEY, fingerprint(salt)],
        )


def _known(connection: Connection) -> str | None:
    try:
        row = connection.execute("SELECT value FROM llm_gateway.state WHERE key = %s", [_KEY]).fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return None
    return None if row is None else str(row[0])
