"""What the proofs of budgets and limits share: calls at once, and who counts them.

LiteLLM 1.106.2 counts spend, requests and tokens in Redis wherever one is connected. Without it each worker counts
for itself, so a limit holds as many times as there are workers (seen with two; docs/budgets.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from llm_gateway.doctor import redis
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import NotProven

if TYPE_CHECKING:
    import httpx

    from llm_gateway.proofs.bench import Bench

_UNDER_WAY = 0.7  # seconds
MAX_TOKENS = 5  # what the calls ask for: LiteLLM reserves for what an answer may cost, and the probe's has five tokens


def at_once(bench: Bench, key: str, number: int) -> list[httpx.Response]:
    """So many calls of a key side by side, each on a connection of its own."""
    # The probe takes its time: one that answers at once would be done with the first call before the last one begins.
    together = bench.nonce()
    bench.capture.take(together, _UNDER_WAY)

    def call(_number: int) -> httpx.Response:
        return bench.chat(f"at once {together} {bench.nonce()}", key=key, max_tokens=MAX_TOKENS)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


def accepted(answers: list[httpx.Response], refusal: int) -> int:
    """How many calls were answered; the others must have been refused with the status `refusal`.

    Raises:
        NotProven: one got something else.
    """
    for answer in answers:
        if answer.status_code not in {200, refusal}:
            raise unexpected(answer, f"200 or {refusal}")
    return sum(answer.status_code == 200 for answer in answers)


def unexpected(answer: httpx.Response, wanted: str) -> NotProven:
    """An answer that neither accepts nor refuses a call as it should."""
    return NotProven(
        f"A call was answered with {answer.status_code} where {wanted} belongs: {said(answer)}",
        cause="Another limit, a hook of the config, or the database.",
        next="llm-gateway logs gateway",
    )


def apart(bench: Bench) -> tuple[str, str] | None:
    """Why nobody counts for all workers, with what to do; None when somebody does."""
    workers = bench.stack.workers
    reason = redis.unreachable(*redis.server(bench.stack)) if bench.stack.runs("redis") else ""
    if reason:
        cause = f"Redis cannot be used ({reason}): each worker counts for itself, and spend only once it is written."
        return (cause, "llm-gateway status; llm-gateway logs redis")
    if workers > 1 and not bench.stack.runs("redis"):
        cause = f"No Redis runs, so each of the {workers} workers counts for itself."
        return (cause, "llm-gateway restart --enable-redis, or: --workers 1")
    return None


def too_many(bench: Bench, message: str, **data: Any) -> NotProven:
    """More was accepted than a limit allows."""
    cause, following = apart(bench) or (
        "LiteLLM does not use the Redis that runs, or the config changes how it counts.",
        "llm-gateway plan shows what the config holds; llm-gateway logs gateway",
    )
    return NotProven(message, cause=cause, next=following, data=data)
