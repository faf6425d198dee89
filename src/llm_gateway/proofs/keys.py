"""Proof of virtual keys: a key works, only for its models, and not any more once it is revoked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from llm_gateway.names import PROBE
from llm_gateway.proofs import counting
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven

if TYPE_CHECKING:
    import httpx

    from llm_gateway.proofs.bench import Bench

_ENDS_WITHIN = 10.0  # seconds; a worker may believe in a key for services.gateway.KEYS_CACHED
_NOT_ALLOWED = (401, 403)  # older versions of LiteLLM said 401
_AT_ONCE = 4  # calls for each worker: which of them answers is chance


def prove(bench: Bench) -> Evidence:
    """Make a key for the probe alone, use it, ask it for more, revoke it."""
    key = bench.key(models=[PROBE])
    _expect(bench.chat(f"key {bench.nonce()}", key=key), 200, "A new key")
    other = next((model.name for model in bench.catalogue()), "another-model")
    refused = bench.chat(f"key {bench.nonce()}", key=key, model=other)
    # Anything else comes from behind the check of the key: the provider's error, say.
    if refused.status_code not in _NOT_ALLOWED:
        raise NotProven(
            f"A key for {PROBE} alone was not refused {other}: {refused.status_code} {said(refused)}".rstrip(),
            cause="The config lets every key use that model (an access group or a fallback).",
            next="llm-gateway plan shows what the config holds",
        )
    _expect(bench.chat(f"key {bench.nonce()}", key="sk-nobody-has-this-key"), 401, "An unknown key")
    # Every worker shall have seen it, and might go on believing in it.
    for answer in _of_all_workers(bench, key):
        _expect(answer, 200, "A new key")
    bench.revoke(key)
    seconds = _until_refused(bench, key)
    ends = f"within {seconds:.1f} s" if seconds >= 0.05 else "at once"
    text = f"a key works, {other} is not for it ({refused.status_code}), revoked it ends {ends}"
    return Evidence(text, {"other_model_status": refused.status_code, "revoked_after_seconds": round(seconds, 2)})


def _expect(answer: httpx.Response, status: int, what: str) -> None:
    if answer.status_code != status:
        raise NotProven(
            f"{what} was answered with {answer.status_code}: {said(answer)}",
            cause="The database does not hold what LiteLLM was told, or a hook of the config decides about keys.",
            next="llm-gateway logs gateway",
        )


def _until_refused(bench: Bench, key: str) -> float:
    """Seconds until every worker refuses the key, as far as calls by chance can tell."""
    began = time.monotonic()
    last = began

    def ended() -> bool:
        nonlocal last
        last = time.monotonic()
        return {answer.status_code for answer in _of_all_workers(bench, key)} == {401}

    bench.until(ended, seconds=_ENDS_WITHIN, otherwise=_still_works)
    return last - began


def _of_all_workers(bench: Bench, key: str) -> list[httpx.Response]:
    """Answers to calls side by side: one after another, the same worker might take them all."""
    return counting.at_once(bench, key, _AT_ONCE * bench.stack.workers)


def _still_works() -> NotProven:
    data: dict[str, Any] = {"seconds": _ENDS_WITHIN}
    return NotProven(
        f"A revoked key is still accepted after {_ENDS_WITHIN:.0f} s.",
        cause="The workers keep what they read of a key: general_settings.user_api_key_cache_ttl, by default 60 s.",
        next="Set it to 5 in the config, or leave out --as-is: the kit sets it",
        data=data,
    )
