"""Proof of limits: requests and tokens per minute answer 429, with every worker together.

LiteLLM 1.106.2: with one worker, or with Redis, exactly `rpm_limit` calls of 16 at once were accepted. Tokens are
reserved before a call (a quarter of the prompt's characters and `max_tokens`) and corrected after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.proofs import counting
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.services.probe_model import COMPLETION_TOKENS, PROMPT_TOKENS

if TYPE_CHECKING:
    from llm_gateway.proofs.bench import Bench

_REFUSED = 429
_REQUESTS, _TOKENS = 3, 40
_PER_CALL = PROMPT_TOKENS + COMPLETION_TOKENS
_AT_ONCE = 8  # more for each worker: which of them takes a call is chance


def prove(bench: Bench) -> Evidence:
    """Calls at once with a limit of requests, then one after another with a limit of tokens."""
    requests, retry = _requests(bench)
    tokens = _tokens(bench)
    text = (
        f"{requests[0]} of {requests[1]} calls at once answered with rpm_limit {_REQUESTS}, the others {_REFUSED}; "
        f"{tokens} tokens used with tpm_limit {_TOKENS}, the next call {_REFUSED}"
    )
    data = {"rpm_limit": _REQUESTS, "accepted": requests[0], "calls": requests[1], "retry_after": retry}
    return Evidence(text, {**data, "tpm_limit": _TOKENS, "tokens_used": tokens, "workers": bench.stack.workers})


def _requests(bench: Bench) -> tuple[tuple[int, int], str]:
    """(answered, made) of calls at once, and how long a client is told to wait, as the header says it."""
    answers = counting.at_once(bench, bench.key(rpm_limit=_REQUESTS), _AT_ONCE * bench.stack.workers)
    accepted = counting.accepted(answers, _REFUSED)
    if accepted > _REQUESTS:
        message = f"{accepted} of {len(answers)} calls at once were accepted with an rpm_limit of {_REQUESTS}."
        raise counting.too_many(bench, message, accepted=accepted, rpm_limit=_REQUESTS)
    if accepted < _REQUESTS:
        raise NotProven(
            f"Only {accepted} of {len(answers)} calls were accepted with an rpm_limit of {_REQUESTS}.",
            cause="A smaller limit of the model, the team or the config stands in the way.",
            next="llm-gateway plan shows what the config holds",
        )
    waits = [answer.headers.get("retry-after", "") for answer in answers if answer.status_code == _REFUSED]
    return (accepted, len(answers)), waits[0]


def _tokens(bench: Bench) -> int:
    """Tokens that were used until a call was refused."""
    key, used = bench.key(tpm_limit=_TOKENS), 0
    while used <= _TOKENS * bench.stack.workers + _PER_CALL:
        answer = bench.chat(f"tokens {bench.nonce()}", key=key, max_tokens=counting.MAX_TOKENS)
        if answer.status_code == _REFUSED:
            break
        if answer.status_code != 200:
            raise counting.unexpected(answer, f"200 or {_REFUSED}")
        used += _PER_CALL
    else:
        raise counting.too_many(bench, f"{used} tokens were used with a tpm_limit of {_TOKENS}, and no call refused.")
    # The last accepted call may have been reserved for less than it used.
    if used > _TOKENS + _PER_CALL:
        raise counting.too_many(bench, f"{used} tokens were used with a tpm_limit of {_TOKENS}.", tokens_used=used)
    return used
