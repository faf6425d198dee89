"""Proof of the semantic cache: the same question in other words is a hit, another question is none."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from llm_gateway.doctor import redis as doctor
from llm_gateway.proofs import cache
from llm_gateway.proofs.answers import body_of, said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.services import redis_search

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from llm_gateway.proofs.bench import Bench

_FIRST = "Please explain in two sentences how the heat pump of a house works when it is cold in winter."
_IN_OTHER_WORDS = "Please explain in two sentences how a heat pump of a house works when it is so cold in winter."
_UNRELATED = "Which spices belong into a vegetable curry?"
_SIMILARITY = "x-litellm-semantic-similarity"
_SAME = 0.9999  # two texts with different words that are as close as this have one vector


def prove(bench: Bench) -> Evidence:
    """A question, the same in other words, another one. A number that the model ignores tells these calls apart."""
    params = cache.params(bench.config)
    key, number = bench.key(), random.SystemRandom().randrange(10**11, 10**12)
    word = str(number)

    def ask(text: str) -> httpx.Response:
        return cache.answered(bench.chat(text, key=key, seed=number, cache=cache.switched(params)))

    def reached(text: str) -> tuple[bool, float]:
        before = len(bench.capture.seen(word))
        answer = ask(text)
        return len(bench.capture.seen(word)) > before, float(answer.headers.get(_SIMILARITY) or 0)

    def never() -> NotProven:
        return _no_hit(bench, params, key)

    broken = cache.server_problem(bench, params, "Answers cannot be kept") or _no_search(bench, params)
    if broken:
        raise broken
    seconds, _ = cache.hits(bench, lambda: ask(_FIRST), word, otherwise=never)
    missed, _ = reached(_UNRELATED)
    if not missed:
        raise _too_wide(bench, params, key)
    again, similarity = reached(_IN_OTHER_WORDS)
    if again:
        raise _too_narrow(bench, params, key)
    text = f"the same in other words is a hit (similarity {similarity:.3f}), another question is none"
    data = {"similarity": similarity, "threshold": params.get("similarity_threshold"), "seconds": round(seconds, 3)}
    return Evidence(text, data)


def _model(params: Mapping[str, Any]) -> str:
    return str(params.get("redis_semantic_cache_embedding_model") or "text-embedding-ada-002")


def _vectors(bench: Bench, params: Mapping[str, Any], key: str, *texts: str) -> list[list[float]]:
    """Vectors of the texts, from the embedding model itself.

    Raises:
        NotProven: it does not give any.
    """
    name = _model(params)
    body = {"model": name, "input": list(texts), "encoding_format": "float"}
    answer = bench.post("/v1/embeddings", {**body, "cache": {"no-cache": True, "no-store": True}}, key=key)
    if answer.status_code != 200:
        raise NotProven(
            f"The embedding model {name} answers {answer.status_code}: {said(answer)}",
            cause="The semantic cache asks it for a vector of each request.",
            next=f"llm-gateway verify embeddings --model {name}",
        )
    return [entry["embedding"] for entry in body_of(answer).get("data") or []]


def _similarity(vectors: list[list[float]]) -> float:
    first, second = vectors
    lengths = math.hypot(*first) * math.hypot(*second)
    return sum(a * b for a, b in zip(first, second, strict=True)) / lengths if lengths else 0.0


def _no_hit(bench: Bench, params: Mapping[str, Any], key: str) -> NotProven:
    """Not even the same text is found again."""
    try:
        _vectors(bench, params, key, _FIRST)
    except NotProven as reason:
        return reason
    return cache.why_not(bench, "Not even the same text was found in the cache again")


def _no_search(bench: Bench, params: Mapping[str, Any]) -> NotProven | None:
    lack = redis_search.lacks(*doctor.server(bench.stack, params))
    if not lack:
        return None
    return NotProven(
        f"Nothing can be found in the cache: {lack}.",
        cause="LiteLLM serves every request without the cache then.",
        next=f"cache_params.type: redis, or: {redis_search.GUIDE}",
    )


def _too_wide(bench: Bench, params: Mapping[str, Any], key: str) -> NotProven:
    """A question about something else was answered from the cache."""
    what = "A question about something else was answered with a cached answer"
    name, threshold = _model(params), params.get("similarity_threshold")
    similarity = _similarity(_vectors(bench, params, key, _FIRST, _UNRELATED))
    if similarity > _SAME:
        return NotProven(
            f"{what}: the embedding model {name} gives the same vector for every text.",
            cause="A model with mock_response does, which is for trying out only.",
            next="Choose another: --semantic-cache-model NAME, or --no-semantic-cache",
            data={"similarity": similarity},
        )
    return NotProven(
        f"{what}: the texts are {similarity:.3f} alike, and {threshold} is enough.",
        cause="similarity_threshold is too low for this embedding model.",
        next="Raise cache_params.similarity_threshold in the config",
        data={"similarity": similarity},
    )


def _too_narrow(bench: Bench, params: Mapping[str, Any], key: str) -> NotProven:
    """The same question in other words was not found."""
    similarity = _similarity(_vectors(bench, params, key, _FIRST, _IN_OTHER_WORDS))
    threshold = params.get("similarity_threshold")
    return NotProven(
        "The same text is found again, but not in other words: the two are "
        f"{similarity:.3f} alike, and {threshold} is asked for.",
        cause="similarity_threshold is too high for this embedding model, or it knows words and no meaning.",
        next="Lower cache_params.similarity_threshold in the config, or choose another: --semantic-cache-model NAME",
        data={"similarity": similarity},
    )
