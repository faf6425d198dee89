"""The response cache. Facts: LiteLLM 1.106.2's caching/, tried with --validate_config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.names import meant
from llm_gateway.model_config.lint.patterns import matches
from llm_gateway.model_config.lint.registry import Found, key_edit, rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node
    from llm_gateway.model_config.lint.findings import Position

_SEMANTIC = {
    "redis-semantic": "redis_semantic_cache_embedding_model",
    "valkey-semantic": "valkey_semantic_cache_embedding_model",
    "qdrant-semantic": "qdrant_semantic_cache_embedding_model",
}
_PACKAGES = {"redis-semantic": "redisvl", "disk": "diskcache", "s3": "boto3"}
_NOTHING = "The gateway does not start."


def _at(document: Document) -> Position:
    settings = document.section("litellm_settings")
    return settings.key_at("cache_params" if settings.has("cache_params") else "cache")


@rule(
    "C060",
    "warning",
    "redis_semantic_cache_use_async",
    why="LiteLLM no longer has this switch; the semantic cache is asynchronous by itself.",
)
def use_async(document: Document, _context: LintContext) -> Iterable[Found]:
    node = document.section("litellm_settings").mapping("cache_params")
    name = "redis_semantic_cache_use_async"
    if node.has(name):
        # These give what they do not know to their clients, which refuse it: the gateway does not start (tried).
        ends = document.cache_type in {"redis", "s3"}
        message = f"{name} is gone and {'stops the start' if ends else 'has no effect'}"
        edits = key_edit(node, name)
        yield Found(node.key_at(name), message, "Remove the line.", "error" if ends else None, edits, fatal=ends)


@rule(
    "C061",
    "warning",
    "a semantic cache on a Redis without search",
    why="It needs RediSearch with vectors; without it no request is answered from the cache. A start makes it a plain "
    "cache, and says so.",
)
def no_search(document: Document, context: LintContext) -> Iterable[Found]:
    own = not context.variables.get("REDIS_HOST") or context.value("REDIS_HOST") in {"localhost", "127.0.0.1"}
    named = document.cache is not None and (document.cache.get("host") or document.cache.get("url"))
    kits = "redis" in context.enabled and own and not named
    if document.cache_type == "redis-semantic" and kits and not context.search:
        message = "redis-semantic needs RediSearch, which the Redis that llm-gateway runs does not have"
        fix = (
            "Use type: redis, or give it a module (--redis-search-module PATH), or name a Redis 8 by REDIS_HOST in .env"
        )
        yield Found(_at(document), message, fix)


@rule("C062", "error", "a semantic cache whose REDIS_PASSWORD is not set", why=_NOTHING, fatal=True)
def no_password(document: Document, context: LintContext) -> Iterable[Found]:
    if document.cache_type != "redis-semantic" or document.cache is None:
        return
    # An empty one counts as none: LiteLLM then looks for the variable.
    given = any(document.cache.text(name) for name in ("password", "redis_url", "url"))
    if not given and not context.is_named("REDIS_PASSWORD") and not context.is_set("REDIS_URL"):
        message = "redis-semantic needs REDIS_PASSWORD to be set, be it empty"
        yield Found(_at(document), message, "Add REDIS_PASSWORD= to .env (empty when Redis has no password).")


@rule("C063", "error", "a semantic cache without similarity_threshold", why=_NOTHING, fatal=True)
def no_threshold(document: Document, _context: LintContext) -> Iterable[Found]:
    if document.cache_type in _SEMANTIC and document.cache is not None:
        node = document.cache.get("similarity_threshold")
        if node is None:
            fix = "Add similarity_threshold: 0.8 and see whether its answers fit."
            yield Found(_at(document), "similarity_threshold is missing", fix)
        elif node.kind in {"integer", "number"} and not 0 < node.value <= 1:
            yield Found(node.at, "similarity_threshold is not between 0 and 1", "Write 0.8, for example.", "warning")


@rule("C064", "error", "a Redis cache without a host", why=_NOTHING, fatal=True)
def no_host(document: Document, context: LintContext) -> Iterable[Found]:
    if document.cache_type not in {"redis", "redis-semantic"} or document.cache is None:
        return
    names = ("host", "url", "redis_url", "redis_startup_nodes", "startup_nodes", "sentinel_nodes")
    variables = ("REDIS_HOST", "REDIS_URL", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES")
    if not any(document.cache.get(name) for name in names) and not any(context.is_set(name) for name in variables):
        message = "the cache is Redis, but neither cache_params nor REDIS_HOST says where"
        yield Found(_at(document), message, "Set REDIS_HOST and REDIS_PORT in .env, or use type: local.")


@rule(
    "C065",
    "error",
    "valkey-semantic",
    why="LiteLLM 1.106.2 stops at the start with the redis package that it installs.",
    fatal=True,
)
def valkey_semantic(document: Document, _context: LintContext) -> Iterable[Found]:
    if document.cache_type == "valkey-semantic":
        yield Found(_at(document), "valkey-semantic does not work with this LiteLLM", "Use redis-semantic or redis.")


@rule("C066", "error", "a cache whose package is not installed", why=_NOTHING, fatal=True)
def no_package(document: Document, context: LintContext) -> Iterable[Found]:
    package = _PACKAGES.get(document.cache_type, "")
    if package and context.installed(package) is False:
        message = f"the cache type {document.cache_type} needs the package {package}"
        yield Found(_at(document), message, f"Install {package} into the gateway's environment, or use type: redis.")


@rule("C067", "warning", "cache_params without cache: true", why="The cache is off, and its parameters have no effect.")
def cache_off(document: Document, _context: LintContext) -> Iterable[Found]:
    settings = document.section("litellm_settings")
    if settings.get("cache_params") is not None and not settings.has("cache"):
        yield Found(settings.key_at("cache_params"), "cache_params stands without cache: true", "Add cache: true.")


@rule(
    "C043",
    "warning",
    "a semantic cache whose embedding model is not in model_list",
    why="LiteLLM embeds through the router; a name it does not have goes to OpenAI with whatever key is set there.",
)
def embedding_model(document: Document, _context: LintContext) -> Iterable[Found]:
    key = _SEMANTIC.get(document.cache_type)
    if key is None or document.cache is None:
        return
    node: Node | None = document.cache.get(key)
    name = str(node.value) if node is not None else "text-embedding-ada-002"
    if name in document.model_names or any("*" in own and matches(own, name) for own in document.model_names):
        return
    at = node.at if node is not None else _at(document)
    fix = meant(name, document.model_names) or f"Add an embedding model to model_list and name it by {key}."
    yield Found(at, f"the semantic cache embeds with {name!r}, which model_list does not have", fix)
