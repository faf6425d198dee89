"""`llm-gateway-prisma`: what LiteLLM starts in place of Prisma's CLI (PRISMA_OFFLINE_MODE, PRISMA_CLI_PATH).

It answers exactly the calls that LiteLLM 1.106.2 makes. What would need Prisma's schema engine (comparing a
schema with a database) is refused, because an empty answer would mean "no difference" and LiteLLM would take
a foreign database for its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from llm_gateway.database.server import connect
from llm_gateway.database.url import parse
from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.prisma_wasm.ledger import use_schema
from llm_gateway.prisma_wasm.migrate import apply, resolve_applied, resolve_rolled_back
from llm_gateway.probes import Deadline

if TYPE_CHECKING:
    from collections.abc import Sequence

# LiteLLM ends `migrate deploy` after this many seconds; the error must reach it before.
_DEPLOY_BUDGET = "LITELLM_PRISMA_MIGRATE_DEPLOY_TIMEOUT"
_DEPLOY_SECONDS = 600.0
_VERSION = "prisma : 5.4.2 (llm-gateway-prisma)"
_NOT_SUPPORTED = "llm-gateway-prisma: `{}` needs Prisma's schema engine, which is not available here."
# What Prisma's CLI says, so that LiteLLM recognises an outage.
_CONNECTION_CODES = {"E401": "P1001", "E402": "P1000", "E403": "P1003", "E404": "P1011", "E405": "P1001"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one call; returns the exit code. Errors go to stderr in the form that LiteLLM reads."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _answer(words)
    except GatewayError as error:
        prefix = _CONNECTION_CODES.get(error.problem.code)
        text = getattr(error, "prisma", f"Error: {prefix}\n" if prefix else "")
        _complain(f"{text}\n{error}\ncause: {error.problem.cause}\nnext: {error.problem.next}".strip())
    except psycopg.Error as error:
        _complain(f"Error: {error.sqlstate or 'connection'}\n{error}")
    return 1


def _answer(words: list[str]) -> int:
    match words:
        case ["--version" | "-v" | "version", *_]:
            _say(_VERSION)
        case ["migrate", "deploy", *_]:
            report = apply(_url(), deadline=_deploy_deadline(), migrations=_migrations())
            _say(f"{report.total} migrations found in prisma/migrations")
            if report.applied:
                _say("Applied: " + ", ".join(report.applied))
            _say(
                "All migrations have been successfully applied." if report.applied else "No pending migrations to apply"
            )
        case ["migrate", "resolve", "--rolled-back", name, *_]:
            resolve_rolled_back(_url(), name)
            _say(f"Migration {name} marked as rolled back.")
        case ["migrate", "resolve", "--applied", name, *_]:
            resolve_applied(_url(), name, migrations=_migrations())
            _say(f"Migration {name} marked as applied.")
        case ["migrate", "diff", *rest] if "--from-url" in rest and "--script" in rest:
            # Only the legacy resolver asks this, after a deploy; empty means that there is nothing to repair.
            pass
        case ["db", "execute", "--file", file, *_]:
            _execute(Path(file))
        case _:
            _complain(_NOT_SUPPORTED.format(" ".join(word for word in words[:2] if "://" not in word)))
            return 1
    return 0


def _deploy_deadline() -> Deadline:
    try:
        budget = float(os.environ[_DEPLOY_BUDGET])
    except (KeyError, ValueError):
        budget = _DEPLOY_SECONDS
    return Deadline(0.9 * budget)


def _execute(file: Path) -> None:
    target = parse(_url())
    with connect(target, application="llm-gateway-migrate") as connection:
        use_schema(connection, target.schema)
        connection.execute(file.read_bytes())


def _url() -> str:
    url = os.environ.get("DIRECT_URL") or os.environ.get("DATABASE_URL")
    if not url:
        raise PreconditionError(
            "E434",
            "there is no database URL",
            cause="neither DIRECT_URL nor DATABASE_URL is set",
            next="export DATABASE_URL=postgresql://USER:PASSWORD@HOST:5432/NAME",
        )
    return url


def _migrations() -> Path | None:
    """LiteLLM starts the CLI in the directory that has `migrations/`; elsewhere the installed ones count."""
    here = Path.cwd() / "migrations"
    return here if any(here.glob("*/migration.sql")) else None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
