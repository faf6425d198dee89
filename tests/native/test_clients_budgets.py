"""Budgets hold, and come back: of a key, and of a customer named by `user` (seed 003)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from support.stack import eventually

if TYPE_CHECKING:
    from support.stack import Gateway

# One call of demo-chat costs about 0.00002 dollars.
_TINY = 0.000001
_OVER_BUDGET = 422  # what LiteLLM 1.106.2 answers; older versions said 400


def _chat(stack: Gateway, key: str, user: str | None = None) -> int:
    """The status of a call that the cache cannot answer; only a budget may refuse it."""
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": str(uuid4())}]}
    answer = stack.api("POST", "/v1/chat/completions", key=key, json={**body, **({"user": user} if user else {})})
    assert answer.is_success or "budget" in answer.text.lower(), answer.text
    return answer.status_code


def test_a_key_over_its_budget_is_refused_and_accepted_again_after_the_reset(stack: Gateway) -> None:
    key = stack.new_key(max_budget=_TINY, budget_duration="15s")
    assert _chat(stack, key) == 200

    eventually(lambda: _chat(stack, key) == _OVER_BUDGET, what="a refusal over the budget")
    eventually(lambda: _chat(stack, key) == 200, seconds=45, what="an answer after the reset")


def test_a_customer_is_limited_by_the_budget_with_its_budget_id(stack: Gateway) -> None:
    budget, customer = f"budget-{uuid4()}", f"customer-{uuid4()}"
    new_budget = {"budget_id": budget, "max_budget": _TINY, "budget_duration": "15s"}
    assert stack.api("POST", "/budget/new", json=new_budget).status_code == 200
    new_customer = {"user_id": customer, "budget_id": budget}
    assert stack.api("POST", "/customer/new", json=new_customer).status_code == 200
    assert _chat(stack, stack.key, customer) == 200

    eventually(lambda: _chat(stack, stack.key, customer) == _OVER_BUDGET, what="a refusal over the budget")
    assert _chat(stack, stack.key, f"another-{uuid4()}") == 200
    assert _chat(stack, stack.key) == 200
    eventually(lambda: _chat(stack, stack.key, customer) == 200, seconds=45, what="an answer after the reset")


def test_a_customers_spend_is_visible(stack: Gateway) -> None:
    customer = f"customer-{uuid4()}"
    assert _chat(stack, stack.key, customer) == 200

    def spend() -> float:
        answer = stack.api("GET", "/customer/info", params={"end_user_id": customer})
        return answer.json()["spend"] if answer.status_code == 200 else 0

    assert eventually(spend, what="spend of the customer") > 0


def test_the_seeded_customer_has_the_seeded_budget(stack: Gateway) -> None:
    customer = stack.api("GET", "/customer/info", params={"end_user_id": "llm-gateway-customer"}).json()

    assert customer["litellm_budget_table"]["budget_id"] == "llm-gateway-budget"
    assert customer["litellm_budget_table"]["max_budget"] == pytest.approx(100)
    assert _chat(stack, stack.key, "llm-gateway-customer") == 200
