"""Checks of the gateway's database and of the engine that queries it. The rooms name them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.database.salt import check_salt
from llm_gateway.errors import GatewayError
from llm_gateway.files import read_json
from llm_gateway.prisma_wasm.ledger import inspect

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack

Found = tuple[str, str] | None
_ENGINE_SECONDS = 2.0  # the engine names its version in a quarter of a second (facts/prisma.md section 4.1)


def _url(stack: Stack) -> str:
    """The database's URL, "" when there is none that should answer now.

    The kit's own server is asked only while the gateway is meant to run.
    """
    where = stack.placements["postgres"].where
    asked = where == "external" or (where == "native" and stack.home.running_file.exists())
    return stack.values.get("DATABASE_URL", "") if asked else ""


def answers(stack: Stack) -> Found:
    """The gateway's own user can open the database."""
    try:
        _ledger_state(stack)
    except GatewayError as error:
        external = stack.placements["postgres"].where == "external"
        repair = "Mend DATABASE_URL, or remove it to let the kit run PostgreSQL." if external else "llm-gateway restart"
        return f"{error.problem.message} ({error.problem.cause})", repair
    return None


def _ledger_state(stack: Stack) -> str:
    url = _url(stack)
    return inspect(url).state if url else ""


def schema(stack: Stack) -> Found:
    """The database's schema is one that this version's LiteLLM can work with."""
    try:
        state = _ledger_state(stack)
    except GatewayError:
        return None  # `answers` says so
    if state == "newer":
        return (
            "The database was migrated by a newer version.",
            "Use that version, or restore a backup of state/backups.",
        )
    if state == "failed":
        return "A migration of the database did not finish.", "llm-gateway restart (it goes on, or says what to do)"
    if state == "foreign-tables":
        return "The database holds tables of another program.", "Name an empty database in DATABASE_URL."
    return None


def salt(stack: Stack) -> Found:
    """LITELLM_SALT_KEY is the one that the database was written with."""
    url, key = _url(stack), stack.values.get("LITELLM_SALT_KEY", "")
    try:
        different = bool(url and key) and check_salt(url, key) == "different"
    except GatewayError:
        return None  # `answers` says so
    if different:
        return (
            "LITELLM_SALT_KEY is not the one that this database was used with: stored provider keys cannot be read.",
            f"Put the old LITELLM_SALT_KEY back into {stack.home.env_link}.",
        )
    return None


def query_engine(stack: Stack) -> Found:
    """LiteLLM's query engine, and the Node.js that runs it, are there and start."""
    known = read_json(stack.home.specs / "prisma.json").get("PRISMA_QUERY_ENGINE_BINARY", "")
    if not known or not stack.runs("postgres"):
        return None  # the first start installs it
    try:
        done = subprocess.run(
            [known, "--version"], capture_output=True, text=True, timeout=_ENGINE_SECONDS, check=False
        )
        said = "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said:
        again = f"rm -r {Path(known).parent}; llm-gateway restart"
        return f"LiteLLM's query engine {known} does not start: {said}", again
    return None
