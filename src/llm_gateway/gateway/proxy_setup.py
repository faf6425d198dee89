"""What LiteLLM's command line does around its server, done in a worker after LiteLLM is imported.

Starting the app without `litellm`'s command line skips the work that `proxy_cli.run_server` does first
(litellm 1.106.2, proxy/proxy_cli.py). Kept here, with LiteLLM's own functions where they exist:

* the arguments of the app (`WORKER_CONFIG`), with the command line's defaults: the app's own defaults differ
  (`drop_params` would be on for everybody);
* `litellm_settings.json_logs`, `--debug`, `--detailed-debug`;
* the parameters of `DATABASE_URL` and `DATABASE_URL_READ_REPLICA`: pool size and time-outs, statement
  time-outs, `pgbouncer=true`, extra parameters, idle lifetime, libpq's TLS spelling → Prisma's;
* `NUM_WORKERS`, no `server` header, uvloop.

Secret managers named in the config are set up by the app itself when it loads the config.

Not supported; a configuration that names one of these gets a warning line:

* `general_settings.database_url`: the kit migrates the database of `DATABASE_URL` and uses no other;
* `IAM_TOKEN_DB_AUTH`, `AZURE_POSTGRESQL_AUTH` (short-lived database tokens) and `USE_AWS_KMS`;
* `LITELLM_PGBOUNCER_ENABLED`: point `DATABASE_URL` at a pgbouncer of your own;
* the server's own switches `SSL_KEYFILE_PATH`/`SSL_CERTFILE_PATH` (put a TLS proxy in front),
  `PROMETHEUS_METRICS_PORT` (use `/metrics`), `LIMIT_CONCURRENCY`, `KEEPALIVE_TIMEOUT`,
  `MAX_REQUESTS_BEFORE_RESTART`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from llm_gateway.hooks import unmasked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.gateway.options import WorkerSettings

_SWITCHES = {
    "IAM_TOKEN_DB_AUTH": "put a password into DATABASE_URL",
    "AZURE_POSTGRESQL_AUTH": "put a password into DATABASE_URL",
    "USE_AWS_KMS": "put the decrypted values into .env",
    "LITELLM_PGBOUNCER_ENABLED": "point DATABASE_URL at a pgbouncer of your own",
}
_SERVER_SETTINGS = {
    "SSL_KEYFILE_PATH": "put a TLS proxy in front",
    "SSL_CERTFILE_PATH": "put a TLS proxy in front",
    "PROMETHEUS_METRICS_PORT": "scrape /metrics",
    "LIMIT_CONCURRENCY": "limit in the proxy in front",
    "KEEPALIVE_TIMEOUT": "set it in the proxy in front",
    "MAX_REQUESTS_BEFORE_RESTART": "workers are replaced when they end",
}
# All workers together, twice during a swap of workers, below PostgreSQL's usual 100 with room for others.
_CONNECTIONS_IN_ALL = 40
_POOL_TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class ConfigSections:
    """The two sections of the config that LiteLLM's command line reads."""

    general: dict[str, Any]
    litellm: dict[str, Any]


def worker_config(settings: WorkerSettings) -> str:
    """The value of `WORKER_CONFIG`, as `litellm --config FILE` would write it."""
    return json.dumps(
        {
            "config": settings.config,
            "debug": settings.debug,
            "detailed_debug": settings.detailed_debug,
            "request_timeout": None,
            "drop_params": False,
            "add_function_to_prompt": False,
        }
    )


def connection_limit(workers: int) -> int:
    """Database connections of one worker: LiteLLM's 10 while few workers share the server."""
    return max(3, min(10, _CONNECTIONS_IN_ALL // workers))


async def read_sections(settings: WorkerSettings) -> ConfigSections:
    """The config with its includes, as LiteLLM reads it."""
    from litellm.proxy.proxy_server import ProxyConfig  # noqa: PLC0415 - imported by the nursery, 5 s elsewhere

    config = await ProxyConfig().get_config(config_file_path=settings.config)
    return ConfigSections(general=config.get("general_settings") or {}, litellm=config.get("litellm_settings") or {})


def apply(sections: ConfigSections, settings: WorkerSettings) -> None:
    """Do the command line's part for this process, before the app starts."""
    import litellm  # noqa: PLC0415 - see read_sections
    from litellm.proxy.common_utils import banner  # noqa: PLC0415

    environment = os.environ
    unmasked.install()
    banner.show_banner = lambda: None  # eight lines per worker, without a switch
    if environment.get("DO_NOT_TRACK") != "0":
        _ask_for_no_release()
    if sections.litellm.get("json_logs") is True:
        litellm.json_logs = True
        litellm.turn_on_json()
    if settings.detailed_debug:
        litellm.turn_on_debug()
    environment["NUM_WORKERS"] = str(settings.workers)
    for name in ("DATABASE_URL", "DATABASE_URL_READ_REPLICA"):
        if environment.get(name):
            environment[name] = database_url(
                environment[name],
                sections.general,
                workers=settings.workers,
                replica=name != "DATABASE_URL",
                no_prepared_statements=_is_on(environment.get("DATABASE_DISABLE_PREPARED_STATEMENTS")),
            )


def _ask_for_no_release() -> None:
    """Keep the admin UI from making the gateway ask GitHub for LiteLLM's newest release; it has no switch."""
    from litellm.proxy.ui_crud_endpoints import latest_release_endpoints  # noqa: PLC0415 - see read_sections

    async def nothing(**_: object) -> None:
        """What the UI is answered where GitHub cannot be reached."""

    latest_release_endpoints.get_latest_release_info = nothing


def database_url(
    url: str,
    general: Mapping[str, Any],
    *,
    workers: int,
    replica: bool = False,
    no_prepared_statements: bool = False,
) -> str:
    """Complete a database URL the way LiteLLM's command line does.

    What `general_settings` says wins over the URL for the writer and loses for a replica; defaults only fill
    what is missing (LiteLLM's command line replaces a pool size in the URL by its default; a person who wrote
    one meant it).
    """
    from litellm.proxy import proxy_cli  # noqa: PLC0415 - see read_sections
    from litellm.proxy.db import db_url_settings  # noqa: PLC0415

    timeouts = proxy_cli.DatabaseTimeoutSettings.model_validate(dict(general))
    present = parse_qs(urlsplit(url).query)
    options = proxy_cli._pg_options_with_timeouts(  # noqa: SLF001 - no public way to LiteLLM's own rule
        (present.get("options") or [""])[0],
        timeouts.database_statement_timeout,
        timeouts.database_lock_timeout,
        timeouts.database_idle_in_transaction_session_timeout,
    )
    if options:
        url = proxy_cli.append_query_params(url, {"options": options})
    wanted = _configured_parameters(general, no_prepared_statements=no_prepared_statements)
    if replica:
        url = db_url_settings.add_missing_query_params(url, db_url_settings.reader_shareable_params(wanted))
    elif wanted:
        url = proxy_cli.append_query_params(url, wanted)
    defaults = {"connection_limit": connection_limit(workers), "pool_timeout": _POOL_TIMEOUT}
    url = db_url_settings.add_missing_query_params(url, defaults)
    lifetime = db_url_settings.idle_lifetime_params(general.get("database_max_idle_connection_lifetime"))
    completed: str = db_url_settings.translate_libpq_ssl_params(db_url_settings.add_missing_query_params(url, lifetime))
    return completed


def _configured_parameters(general: Mapping[str, Any], *, no_prepared_statements: bool) -> dict[str, Any]:
    timeout = general.get("database_connection_timeout")
    if timeout is None:
        timeout = general.get("database_connection_pool_timeout")
    wanted = {
        "connection_limit": general.get("database_connection_pool_limit"),
        "pool_timeout": timeout,
        "connect_timeout": general.get("database_connect_timeout"),
        "socket_timeout": general.get("database_socket_timeout"),
    }
    if no_prepared_statements or _is_on(general.get("database_disable_prepared_statements")):
        wanted["pgbouncer"] = "true"
    wanted |= general.get("database_extra_connection_params") or {}
    return {name: value for name, value in wanted.items() if value is not None}


def warnings(sections: ConfigSections, environment: Mapping[str, str]) -> list[str]:
    """One line for each thing the configuration asks for and this launcher does not do."""
    lines = [
        f"{name} is not supported here and has no effect; {instead}"
        for name, instead in _SWITCHES.items()
        if _is_on(environment.get(name))
    ]
    lines += [
        f"{name} is not supported here and has no effect; {instead}"
        for name, instead in _SERVER_SETTINGS.items()
        if environment.get(name)
    ]
    if sections.general.get("database_url"):
        lines.append("general_settings.database_url has no effect; put the address into DATABASE_URL in .env")
    return lines


def _is_on(value: object) -> bool:
    return str(value).strip().lower() in {"true", "1", "yes", "on"}
