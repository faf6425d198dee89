"""Checks of the Redis that holds the cache. The room names them; the proofs of the cache ask the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.sections import section
from llm_gateway.services import redis_search, resp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Stack

Found = tuple[str, str] | None
IN_REDIS = {"redis", "redis-semantic", "valkey-semantic"}  # LiteLLM's types of cache that live there
_CHECK = "llm-gateway:check"  # an entry of the kit's own, gone after a second
MEND = "Mend REDIS_HOST, REDIS_PORT and REDIS_PASSWORD in .env, or: --no-enable-redis"
# What a server that refuses to write says, and what to do about it.
_UNWRITABLE = {
    "OOM": (
        "is full and evicts nothing: new answers are not cached",
        "Let it evict (CONFIG SET maxmemory-policy allkeys-lru), or give it more memory",
    ),
    "READONLY": ("is a read-only replica: answers are not cached", "Name its primary by REDIS_HOST in .env"),
    "MISCONF": (
        "cannot save to its disk and takes no entries",
        "Make room on its disk, or: CONFIG SET stop-writes-on-bgsave-error no",
    ),
    "NOPERM": ("does not let this user write", "Give the user of REDIS_PASSWORD the right to write (ACL SETUSER)"),
    "LOADING": ("is still reading its file", "Wait until it has, then try again"),
    "MASTERDOWN": ("is a replica without its primary", "Name its primary by REDIS_HOST in .env"),
}


def server(stack: Stack, params: Mapping[str, Any] | None = None) -> tuple[str, int, str]:
    """Host, port and password of the cache's Redis: what `cache_params` says, else the variables, as LiteLLM has it."""
    from llm_gateway.services.registry import BY_ID  # noqa: PLC0415 - the room of Redis is in it and uses this

    said, hidden = dict(params or {}), BY_ID["redis"].hidden(stack)
    variables = {name: value for name, value in stack.values.items() if name not in hidden}

    def value(name: str, default: str) -> str:
        word = str(said.get(name) or f"os.environ/REDIS_{name.upper()}")
        return (variables.get(word.removeprefix("os.environ/"), "") if "os.environ/" in word else word) or default

    port = value("port", "6379")
    return value("host", "localhost"), int(port) if port.isdigit() else 0, value("password", "")


def refused(address: str, refusal: resp.Refused) -> str:
    """One clause for a server that refuses the password, or asks for one."""
    word = str(refusal).partition(" ")[0]
    if word == "NOAUTH":
        return f"{address} asks for a password, and REDIS_PASSWORD is empty"
    if word == "WRONGPASS" or "AUTH" in str(refusal) or "invalid password" in str(refusal):
        return f"{address} refuses REDIS_PASSWORD"
    return f"{address} is not ready ({refusal})"


def answers(stack: Stack) -> Found:
    """An external server is reached; the kit's own is watched by its supervisor."""
    if stack.placements["redis"].where != "external":
        return None
    reason = unreachable(*server(stack))
    return (reason, MEND) if reason else None


def unreachable(host: str, port: int, password: str) -> str:
    """Why the server does not answer PING; "" when it does."""
    address = f"{host}:{port}"
    try:
        with resp.connect(host, port, password) as connection:
            connection.ask("PING")
    except resp.Refused as refusal:
        return refused(address, refusal)
    except (OSError, OverflowError) as error:
        return f"{address} does not answer ({getattr(error, 'strerror', '') or error})"
    return ""


def searches(stack: Stack) -> Found:
    """A semantic cache has a server that can search."""
    params = _cache_in_redis(stack)
    if params is None or params.get("type") != "redis-semantic" or unreachable(*server(stack, params)):
        return None
    reason = redis_search.lacks(*server(stack, params))
    return (
        (f"{reason}: no answer is found in the cache.", f"cache_params.type: redis, or: {redis_search.GUIDE}")
        if (reason)
        else None
    )


def takes_entries(stack: Stack) -> Found:
    """The server takes a new entry: one is written that is gone after a second."""
    params = _cache_in_redis(stack)
    if params is None or unreachable(*server(stack, params)):
        return None  # D211, or a server that is not meant to run now
    return unwritable(*server(stack, params))


def unwritable(host: str, port: int, password: str) -> Found:
    """Why the server takes no new entry, and what to do; None when it does.

    Raises:
        OSError: it does not answer.
    """
    try:
        with resp.connect(host, port, password) as connection:
            connection.ask("SET", _CHECK, "1", "PX", 1000)
    except resp.Refused as refusal:
        word = str(refusal).partition(" ")[0]
        what, fix = _UNWRITABLE.get(word, (f"refuses an entry ({refusal})", "llm-gateway logs redis"))
        return f"Redis at {host}:{port} {what}.", fix
    return None


def _cache_in_redis(stack: Stack) -> Mapping[str, Any] | None:
    """`cache_params` of the effective config where its cache is in Redis; None where it is not, or nothing runs."""
    from llm_gateway.services.wiring import effective_config  # noqa: PLC0415 - it asks every room

    placement = stack.placements["redis"]
    if placement.where != "external" and not stack.home.running_file.exists():
        return None
    settings = section(effective_config(stack)[0], "litellm_settings")
    params = section(settings, "cache_params")
    return params if settings.get("cache") is True and params.get("type", "redis") in IN_REDIS else None
