"""Proof of a restart: keys, spend and cache are still there afterwards. The gateway is away for some seconds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.sections import section
from llm_gateway.proofs import cache, spend
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from llm_gateway.proofs.bench import Bench

_WITHIN = 15.0


def prove(bench: Bench) -> Evidence:
    """A call whose answer is cached and whose cost is written; restart; the same call again."""
    key = bench.key()
    word, keep = bench.nonce(), cache.switched(cache.params(bench.config))
    _answered(bench.chat(f"restart {word}", key=key, cache=keep), "before the restart")
    bench.until(lambda: _spend(bench, key) > 0, seconds=_WITHIN, otherwise=_no_spend)
    before = _spend(bench, key)
    began = time.monotonic()
    bench.restart_gateway()
    seconds = time.monotonic() - began
    _answered(bench.chat(f"restart {word}", key=key, cache=keep), "after the restart, with the same key")
    after = _spend(bench, key)
    if after < before:
        raise NotProven(
            f"The key's spend was ${before} before the restart and is ${after} now.",
            cause="The database lost it.",
            next="llm-gateway doctor; llm-gateway logs postgres",
        )
    kept = len(bench.capture.seen(word)) == 1
    if _outlives(cache.params(bench.config), bench.config) and not kept:
        raise NotProven(
            "After the restart the same call was not answered from the cache.",
            cause="The cache lost it, or keeps entries for too short a time (ttl).",
            next="llm-gateway verify cache",
        )
    held = "key, spend and cache are" if kept else "key and spend are"
    return Evidence(f"{held} still there after {seconds:.1f} s", {"seconds": round(seconds, 2), "dollars": str(after)})


def _outlives(params: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Is there a cache of chats that is not in the gateway's own memory?"""
    types = params.get("supported_call_types")
    on = section(config, "litellm_settings").get("cache") is True and (types is None or "acompletion" in types)
    return on and params["type"] != "local"


def _answered(answer: httpx.Response, when: str) -> None:
    if answer.status_code != 200:
        raise NotProven(
            f"A call {when} was answered with {answer.status_code}: {said(answer)}",
            cause="Keys live in the database; it does not hold this one, or cannot be reached.",
            next="llm-gateway doctor; llm-gateway logs gateway",
        )


def _spend(bench: Bench, key: str) -> Any:
    return spend.dollars(bench.admin.send("GET", "/key/info", params={"key": key})["info"])


def _no_spend() -> NotProven:
    return NotProven(
        f"The cost of a call was not written within {_WITHIN:.0f} s.",
        cause="LiteLLM does not write spend, see there.",
        next="llm-gateway verify spend",
    )
