"""Proof of the cache: an equal call is answered without the model, from where the config says, and for its own key.

LiteLLM serves calls without a cache that does not work, and keeps each entry in its worker's memory besides Redis; so
neither a good answer nor a second one from the cache says that Redis holds anything.
"""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

from llm_gateway.doctor import redis as doctor
from llm_gateway.model_config.sections import section
from llm_gateway.names import PROBE
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.services import resp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

    from llm_gateway.proofs.bench import Bench

_WITHIN = 5.0  # seconds until an answer is in the cache; LiteLLM writes it after it has answered
_PACKAGES = {"redis": "redis", "redis-semantic": "redisvl", "s3": "boto3", "disk": "diskcache"}
# A server that LiteLLM finds by more than host, port and password; the kit asks a plain one only.
_OTHER_ADDRESSES = ("url", "redis_url", "ssl", "redis_startup_nodes", "startup_nodes", "sentinel_nodes", "username")
_ENTRY = "x-litellm-cache-key"


def params(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """`cache_params`, with the type that LiteLLM takes where none is named."""
    return {"type": "redis", **section(section(config, "litellm_settings"), "cache_params")}


def prove(bench: Bench) -> Evidence:
    """Chat and embeddings twice each, where the entry is, and what another key gets."""
    cache = params(bench.config)
    kind, word, key = str(cache["type"]), bench.nonce(), bench.key()

    def chat(of: str = key) -> httpx.Response:
        return answered(bench.chat(f"cache {word}", key=of, cache=switched(cache)))

    broken = server_problem(bench, cache, "Answers cannot be kept")
    if broken:
        raise broken
    seconds, answer = hits(bench, chat, word, otherwise=lambda: why_not(bench))
    place = _where(bench, cache, answer.headers.get(_ENTRY, ""))
    parts = [f"an equal chat is a hit after {seconds:.2f} s, {place}"]
    data: dict[str, Any] = {"type": kind, "entry": answer.headers.get(_ENTRY), "seconds": round(seconds, 3)}
    if _caches_embeddings(cache):
        parts.append(f"an equal embedding after {_embedding(bench, cache, key):.2f} s")
    if bench.has_keys:
        parts.append(_others(bench, chat, word, kind))
    return Evidence("; ".join(parts), data)


def switched(cache: Mapping[str, Any]) -> dict[str, Any]:
    """What a call says so that the cache answers it."""
    return {"use-cache": True} if cache.get("mode") == "default_off" else {}


def answered(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != 200:
        raise NotProven(
            f"A call was answered with {answer.status_code}: {said(answer)}",
            cause="The gateway itself cannot answer: its own probe model stands behind this call, no provider.",
            next="llm-gateway verify chat; llm-gateway logs gateway",
        )
    return answer


def hits(
    bench: Bench, call: Callable[[], httpx.Response], word: str, *, otherwise: Callable[[], NotProven]
) -> tuple[float, httpx.Response]:
    """Make a call, and repeat it until it does not reach the upstream any more.

    Returns:
        Seconds from the first answer to the hit, and the hit.
    """
    call()
    began = time.monotonic()
    found: list[httpx.Response] = []

    def hit() -> bool:
        before = len(bench.capture.seen(word))
        found[:] = [call()]
        return len(bench.capture.seen(word)) == before

    bench.until(hit, seconds=_WITHIN, otherwise=otherwise)
    return time.monotonic() - began, found[0]


def _where(bench: Bench, cache: Mapping[str, Any], entry: str) -> str:
    """Where the entry is, in a few words. Each worker keeps it in its memory, too, so Redis itself is asked."""
    if cache["type"] != "redis" or _elsewhere(bench, cache):
        return f"type {cache['type']}"
    server = doctor.server(bench.stack, cache)
    names = (entry, f"{cache.get('namespace')}:{entry}")
    try:
        with resp.connect(*server) as connection:
            if connection.ask("EXISTS", *names):
                return f"its entry is in Redis at {server[0]}:{server[1]}"
    except (resp.Refused, OSError):
        pass  # `why_not` asks again, and says what is wrong
    raise why_not(bench, "The hit came from a worker's memory, and Redis does not hold the answer")


def _elsewhere(bench: Bench, cache: Mapping[str, Any]) -> bool:
    variables = ("REDIS_URL", "REDIS_SSL", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES", "REDIS_USERNAME")
    return any(cache.get(name) for name in _OTHER_ADDRESSES) or any(bench.stack.values.get(name) for name in variables)


def _caches_embeddings(cache: Mapping[str, Any]) -> bool:
    """LiteLLM 1.106.2 keeps no embeddings in semantic caches, and never reads those that it writes to S3."""
    kind, types = str(cache["type"]), cache.get("supported_call_types")
    return kind != "s3" and not kind.endswith("semantic") and (types is None or "aembedding" in types)


def _embedding(bench: Bench, cache: Mapping[str, Any], key: str) -> float:
    word = bench.nonce()
    body = {"model": PROBE, "input": f"cache {word}", "cache": switched(cache)}

    def never() -> NotProven:
        return NotProven(
            f"Equal chats are answered from the cache, equal embeddings were not within {_WITHIN:.0f} s.",
            cause="cache_params of the config leave embeddings out, or LiteLLM could not store one.",
            next="llm-gateway logs gateway",
        )

    return hits(bench, lambda: answered(bench.post("/v1/embeddings", body, key=key)), word, otherwise=never)[0]


def _others(bench: Bench, chat: Callable[[str], httpx.Response], word: str, kind: str) -> str:
    """What another key of the same team gets, and whether that is what `cacheScope` says."""
    scope = bench.stack.choices.text("cacheScope")
    before = len(bench.capture.seen(word))
    chat(bench.key())
    shared = len(bench.capture.seen(word)) == before
    # LiteLLM's semantic caches part the keys themselves, and cannot do otherwise.
    wanted = scope != "key" and not kind.endswith("semantic")
    if shared and not wanted:
        raise NotProven(
            "Another key was answered with this key's answer.",
            cause="The callback llm_gateway.hooks.cache_scope is not in the config that the gateway runs with, or does "
            "not load.",
            next="llm-gateway restart; llm-gateway logs gateway",
        )
    if wanted and not shared:
        raise NotProven(
            f"cacheScope is {scope}, but another key did not get the answer that is in the cache.",
            cause="The gateway runs with another scope, or its workers do not share a cache (type local).",
            next="llm-gateway reload",
        )
    return f"another key {'gets it, too' if shared else 'does not get it'} (scope {scope})"


def why_not(bench: Bench, what: str = f"No equal call was answered from the cache within {_WITHIN:.0f} s") -> NotProven:
    """What is wrong with a cache that does not answer."""
    cache = params(bench.config)
    kind = str(cache["type"])
    package = _PACKAGES.get(kind, "")
    if package and importlib.util.find_spec(package) is None:
        return NotProven(
            f"{what}: the package {package} is missing.",
            cause=f"LiteLLM needs it for the cache type {kind}.",
            next="llm-gateway doctor; ./install.sh puts every package in again",
        )
    if kind not in doctor.IN_REDIS or _elsewhere(bench, cache):
        return NotProven(
            f"{what} (type {kind}).",
            cause="LiteLLM could not write to it, or not read from it; its log says why.",
            next="llm-gateway logs gateway",
        )
    host, port, _ = doctor.server(bench.stack, cache)
    return server_problem(bench, cache, what) or NotProven(
        f"{what}, though Redis at {host}:{port} takes entries.",
        cause="The gateway was started with another Redis, or the config keeps entries for too short a time (ttl).",
        next="llm-gateway reload; llm-gateway logs gateway",
    )


def server_problem(bench: Bench, cache: Mapping[str, Any], what: str) -> NotProven | None:
    """What is wrong with the Redis that holds the cache, None when nothing is, or when it is none that can be asked."""
    if cache["type"] not in doctor.IN_REDIS or _elsewhere(bench, cache):
        return None
    server = doctor.server(bench.stack, cache)
    served = "Calls are served without a cache while Redis does not work."
    reason = doctor.unreachable(*server)
    if reason:
        mend = doctor.MEND if bench.stack.placements["redis"].where == "external" else "llm-gateway restart"
        return NotProven(f"{what}: {reason}.", cause=served, next=mend)
    refusal = doctor.unwritable(*server)
    if refusal:
        return NotProven(f"{what}: {refusal[0]}", cause=served, next=refusal[1])
    return None
