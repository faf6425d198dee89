"""What every verb begins with: the home, the choices, the environment, and the stack that follows from them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_gateway import home_files, stack
from llm_gateway.choices import Choice, Choices, Chosen, Value, resolve
from llm_gateway.credentials import fingerprint
from llm_gateway.discovery import Findings, discover
from llm_gateway.dotenv import Environment, read
from llm_gateway.errors import GatewayError
from llm_gateway.files import read_json
from llm_gateway.model_config import include
from llm_gateway.model_config.load import resolve_path
from llm_gateway.options import options
from llm_gateway.paths import Home, find_home
from llm_gateway.probes import TcpProbe
from llm_gateway.resources import resource
from llm_gateway.services import redis_search
from llm_gateway.services.presidio import BASES as PRESIDIO_BASES
from llm_gateway.services.registry import SERVICES
from llm_gateway.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from llm_gateway.progress import Progress
    from llm_gateway.services.base import Stack

DEMO_CONFIG = "model-config-demo.yaml"


def catalogue() -> tuple[Choice, ...]:
    """Everything that can be chosen: options, then settings."""
    return (*options(), *SETTINGS)


@dataclass(frozen=True)
class Context:
    """The person's situation: where, what was chosen, what is set."""

    home: Home
    choices: Choices
    environment: Environment
    progress: Progress
    cwd: Path
    flags: Mapping[str, object]

    @property
    def config(self) -> Path:
        """The chosen model config, absolute; the demo config when none was chosen.

        Raises:
            InputError: E120, it does not exist.
        """
        name = self.choices.text("configFile")
        if not name:
            installed = self.home.configs / DEMO_CONFIG
            return installed if installed.exists() else resource("configs") / DEMO_CONFIG
        return resolve_path(name, cwd=self.cwd, home=self.home.root)


def open_context(
    flags: Mapping[str, object], *, progress: Progress, environ: Mapping[str, str] | None = None
) -> Context:
    """Read the home's files and resolve the choices.

    Raises:
        InputError: unreadable files (E104, E111, E112) or bad values (E105, E106).
    """
    process = dict(os.environ if environ is None else environ)
    home = find_home(process)
    choices = resolve(catalogue(), flags=flags, environ=process, saved=read_json(home.options_file))
    environment = Environment(process=process, file=read(home_files.env_path(home)))
    return Context(home, choices, environment, progress, Path.cwd(), dict(flags))


def reopen(context: Context) -> Context:
    """The context as it is now: while a command waited for the home's lock, another may have written its files."""
    return open_context(context.flags, progress=context.progress, environ=context.environment.process)


def make_stack(context: Context) -> Stack:
    """Discover the machine and plan.

    Raises:
        InputError, PreconditionError: see `stack.plan`; E109 when data has lost its `.env`.
    """
    findings = discover(context.home, ports=_ports(context.choices))
    home_files.refuse_orphaned_data(context.home, findings)
    return _plan(context, _ask_servers(findings, context.environment), config=context.config)


def running_record(home: Home) -> dict[str, Any]:
    """What `start` wrote down about the running stack; empty when none was started."""
    return read_json(home.running_file)


def running_stack(context: Context, *, config: Path | None = None, changed: Iterable[str] = ()) -> Stack | None:
    """The stack as it was started, None when none was.

    Args:
        context: the person's situation now; its `.env` counts as it is now.
        config: another model config than the one it was started with.
        changed: ids of choices that count as they are now, where somebody chose them.
    """
    record = running_record(context.home)
    if not record:
        return None
    chosen = {id_: Chosen(*pair) for id_, pair in record["choices"].items()}
    for id_, port in record["ports"].items():
        chosen[id_] = Chosen(port, chosen[id_].source)
    for id_ in ("configFile", *changed):
        if context.choices.asked(id_):
            chosen[id_] = Chosen(context.choices[id_], context.choices.source(id_))
    defaults = {c.id: Chosen(c.default, "default") for c in catalogue()}
    process = {n: v for n, v in context.environment.process.items() if n not in record["variables"]}
    known = replace(
        context,
        choices=Choices({**defaults, **chosen}, catalogue()),
        environment=Environment(process={**process, **record["given"]}, file=context.environment.file),
    )
    return _plan(known, discover(context.home, ports=()), config=config or Path(record["config"]))


def planned_stack(context: Context) -> Stack:
    """The stack as it would be started, whoever holds its ports now; for verbs that only show something."""
    findings = _ask_servers(discover(context.home, ports=()), context.environment)
    return _plan(context, findings, config=context.config)


def _plan(context: Context, findings: Findings, *, config: Path) -> Stack:
    defaults = context.choices.flag("startWithDefaults")
    findings = redis_search.look(findings, home=context.home, choices=context.choices, environment=context.environment)
    return stack.plan(
        home=context.home,
        choices=context.choices,
        environment=context.environment,
        findings=findings,
        config=config,
        secrets={
            secret.variable: secret.default if defaults and secret.default is not None else secret.make()
            for service in SERVICES
            for secret in service.secrets
        },
        rendered=home_files.rendered(context.home, context.environment),
    )


def _ports(choices: Choices) -> list[int]:
    return [choices.number(port.setting) for service in SERVICES for port in service.ports]


def _ask_servers(findings: Findings, environment: Environment) -> Findings:
    """Do the servers that the environment names answer? Decides whose seed-004 defaults are."""
    url = urlsplit(environment.get("DATABASE_URL"))
    host, port = environment.get("REDIS_HOST"), environment.get("REDIS_PORT") or "6379"
    database = url.hostname and not TcpProbe(url.hostname, url.port or 5432)()
    cache = host and port.isdigit() and not TcpProbe(host, int(port))()
    presidio = [urlsplit(environment.get(name)) for name in PRESIDIO_BASES]
    masking = any(base.hostname and not TcpProbe(base.hostname, base.port or 80)() for base in presidio)
    return replace(
        findings,
        database_answers="yes" if database else "",
        redis_answers="yes" if cache else "",
        presidio_answers="yes" if masking else "",
    )


def wanted_stack(context: Context) -> Stack:
    """The stack as a restart would start it: like `make_stack`, but this home's running services hold no port.

    Raises:
        InputError, PreconditionError: as `make_stack`.
    """
    own = running_record(context.home).get("ports", {}).values()
    findings = discover(context.home, ports=set(_ports(context.choices)) - set(own))
    return _plan(context, _ask_servers(findings, context.environment), config=context.config)


def other_servers(environment: Environment, record: Mapping[str, Any]) -> list[str]:
    """Variables by which the process names another server than the running stack was started with."""
    return sorted(n for n in home_files.OWN_SERVERS if environment.process.get(n, "") != record["given"].get(n, ""))


def wanted(choices: Choices) -> dict[str, Value]:
    """What makes two starts the same start: every lasting choice but the config, which is compared by its path."""
    return {c.id: choices[c.id] for c in choices.catalogue if c.remembered and c.id != "configFile"}


def record(made: Stack) -> dict[str, Any]:
    """What `state/running.json` holds: enough to tell a second start whether it wants the same.

    The services' variables that the process gave are in it, because another shell does not have them; of those that
    running services were started with, fingerprints.
    """
    variables = [line.name for lines in made.lines.values() for line in lines]
    process = made.environment.process
    choices = made.choices
    return {
        "variables": variables,
        "given": {name: process[name] for name in variables if process.get(name)},
        "services": service_variables(made),
        "choices": {id_: [value, choices.source(id_)] for id_, value in wanted(choices).items()},
        "ports": dict(made.ports),
        "config": str(made.config),
        "files": {str(path): digest(path) for path in (*_config_files(made), made.home.env_file)},
        "workers": made.workers,
        "public_url": made.public_url,
    }


def _config_files(made: Stack) -> list[Path]:
    """The config with what it includes; with `asIs` a broken include is LiteLLM's business."""
    try:
        return include.files(made.config)
    except GatewayError:
        return [made.config]


def edited(saved: Mapping[str, Any]) -> list[Path]:
    """The files of a running stack that are not any more what it was started with."""
    return [Path(path) for path, known in saved.get("files", {}).items() if digest(Path(path)) != known]


def changed_choices(choices: Choices, saved: Mapping[str, Any]) -> list[str]:
    """Ids of lasting choices that differ from the running stack's; settings that it did not know count as equal."""
    began = saved["choices"]
    return [id_ for id_, value in wanted(choices).items() if began.get(id_, [value])[0] != value]


def service_variables(made: Stack) -> dict[str, str]:
    """Fingerprints of the variables that the kit's own services besides the gateway are started with."""
    own = [id_ for id_, placement in made.placements.items() if placement.where in {"native", "docker"}]
    names = [line.name for id_ in own if id_ != "gateway" for line in made.lines[id_]]
    return {name: fingerprint(made.values[name]) for name in names}


def digest(path: Path) -> str:
    """SHA-256 of a file, "" when it is gone."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
