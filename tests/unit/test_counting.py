"""Who counts budgets and limits for all workers: what a proof that found too much says."""

from types import SimpleNamespace

import pytest

from llm_gateway.proofs import counting
from llm_gateway.proofs.base import NotProven
from support.ports import free_port
from unit.test_plan import made


def cause(workers, **flags):
    stack = made(flags={"workers": str(workers), **flags})
    return counting.apart(SimpleNamespace(stack=stack))


def test_workers_without_redis_count_each_for_itself():
    why, following = cause(2, enable_redis="false")
    assert why == "No Redis runs, so each of the 2 workers counts for itself."
    assert "--enable-redis" in following
    assert cause(1, enable_redis="false") is None


def test_a_redis_that_does_not_answer_counts_nothing():
    port = free_port()
    for workers in (1, 2):
        why, following = cause(workers, redis_port=str(port))
        assert why.startswith(f"Redis cannot be used (localhost:{port} does not answer")
        assert "logs redis" in following


def test_an_answer_that_neither_accepts_nor_refuses_is_no_count():
    answers = [SimpleNamespace(status_code=status, text="x", json=dict) for status in (200, 422, 200)]
    assert counting.accepted(answers, 422) == 2
    with pytest.raises(NotProven) as odd:
        counting.accepted([*answers, SimpleNamespace(status_code=503, text="x", json=dict)], 422)
    assert odd.value.message.startswith("A call was answered with 503 where 200 or 422 belongs")
