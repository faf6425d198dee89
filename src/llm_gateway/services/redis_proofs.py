"""The room of Redis at `verify`: which of the cache's capabilities are shown with which stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.sections import section
from llm_gateway.proofs import cache, semantic_cache
from llm_gateway.services.base import Absent, Proof
from llm_gateway.services.probe_model import without_probe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.services.base import Stack


def without_cache(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Not shown where the config that runs switches no cache on, nor without the probe."""
    if section(config, "litellm_settings").get("cache") is True:
        return without_probe(stack, config)
    if stack.runs("redis"):
        return Absent("off", "The config does not say litellm_settings.cache: true.")
    return Absent("off", "enableRedis is off, and the config switches no cache on.")


def without_meaning(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Not shown where the cache compares requests letter by letter."""
    absent = without_cache(stack, config)
    kind = str(cache.params(config)["type"])
    if absent is None and kind != "redis-semantic":
        return Absent("off", f"The cache (type {kind}) compares requests letter by letter; semanticCache is off.")
    return absent


REDIS_PROOFS = (
    Proof("cache", "equal calls are answered without the model, for their own key", without_cache, cache.prove),
    Proof("semantic-cache", "the same in other words, too", without_meaning, semantic_cache.prove),
)
