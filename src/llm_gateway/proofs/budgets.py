"""Proof of budgets: of a key, of a customer by its `budget_id`, of calls at once, and (deep) their return.

LiteLLM 1.106.2 reserves what a call may cost before it is made and refuses once nothing is left. So the call after
one that used up a budget is refused, and of many at once only those that fit, and one more (docs/budgets.md).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.sections import section
from llm_gateway.names import VERIFY
from llm_gateway.probes import Deadline, wait
from llm_gateway.proofs import counting
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.proofs.spend import COST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from llm_gateway.proofs.bench import Bench

_REFUSED = 422  # "budget_exceeded"; older versions of LiteLLM said 400
_TINY = 0.000001  # US dollars, less than a call of the probe costs
_AT_ONCE = 16
_BEYOND = 1  # calls at once may go beyond a budget by so many calls
_MORE = 6  # further calls, when the one that must be refused is accepted
_DURATION = "2m"  # seed 003's
_MARGIN, _EARLY, _LATE = 10.0, 2.0, 45.0  # seconds
_WRITTEN = 15.0  # seconds; LiteLLM writes every services.gateway._FLUSH_SECONDS and up to five more
_GONE = (400, 404, 500)  # LiteLLM's words for an object that is not there


def prove(bench: Bench) -> Evidence:
    """A key's budget, calls at once, a customer's budget; with `--deep` the return of a key's budget."""
    _remove_leftovers(bench)
    with _customer(bench) as customer:
        key_status = _one_call_only(_Payer(bench, bench.key(max_budget=_TINY), "key"))
        customer_status = _one_call_only(customer)
        _another_customer(bench)
        accepted = _calls_at_once(bench)
    texts = [
        f"a key over its budget is refused at the next call ({key_status})",
        f"so is a customer by its budget_id ({customer_status})",
        f"{accepted} of {_AT_ONCE} calls at once fit a budget of one",
    ]
    data: dict[str, Any] = {
        "key_status": key_status,
        "customer_status": customer_status,
        "calls_at_once": _AT_ONCE,
        "accepted_at_once": accepted,
        "stated_overshoot_calls": _BEYOND,
        "workers": bench.stack.workers,
    }
    if bench.deep:
        seconds = _comes_back(bench)
        texts.append(f"a budget of {_DURATION} came back {seconds:.0f} s after its end")
        data |= {"budget_duration": _DURATION, "back_after_seconds": round(seconds, 1)}
    return Evidence("; ".join(texts), data)


@dataclass
class _Payer:
    """Whose budget a call is booked on, and how many calls were accepted."""

    bench: Bench
    key: str
    whose: str
    body: dict[str, Any] = field(default_factory=dict)
    accepted: int = 0

    def call(self) -> httpx.Response:
        prompt = f"budget {self.bench.nonce()}"
        answer = self.bench.chat(prompt, key=self.key, max_tokens=counting.MAX_TOKENS, **self.body)
        self.accepted += answer.status_code == 200
        return answer


def _one_call_only(payer: _Payer) -> int:
    """The first call is answered, the next refused; its status."""
    first = payer.call()
    if first.status_code != 200:
        raise NotProven(
            f"The first call on a {payer.whose}'s new budget was answered with {first.status_code}: {said(first)}",
            cause="Another budget is used up (of all calls together: litellm_settings.max_budget), or the database.",
            next="llm-gateway logs gateway",
        )
    second = payer.call()
    if second.status_code == 200:
        raise _ignored(payer)
    if second.status_code != _REFUSED:
        raise counting.unexpected(second, str(_REFUSED))
    return second.status_code


def _ignored(payer: _Payer) -> NotProven:
    """Why a call over the budget was accepted."""
    statuses = [payer.call().status_code for _ in range(_MORE)]
    data = {"accepted": payer.accepted, "statuses": statuses}
    message = f"A {payer.whose}'s budget of one call let {payer.accepted} calls pass."
    return _switched_off(payer.bench, "disable_spend_updates", message, "nothing is counted", data) or (
        counting.too_many(payer.bench, message, **data)
    )


def _switched_off(bench: Bench, switch: str, message: str, meaning: str, data: dict[str, Any]) -> NotProven | None:
    """The config itself asked for it."""
    if section(bench.config, "general_settings").get(switch) is not True:
        return None
    following = "Take it out of the config, then: llm-gateway restart"
    return NotProven(message, cause=f"general_settings.{switch} is on: {meaning}.", next=following, data=data)


def _another_customer(bench: Bench) -> None:
    """The kit's own customer is still served while another is over its budget."""
    answer = _Payer(bench, bench.common_key, "customer").call()
    if answer.status_code != 200:
        raise NotProven(
            f"With one customer over its budget, another was answered with {answer.status_code}: {said(answer)}",
            cause="The budget of one customer counts for all, or another budget is used up.",
            next="llm-gateway logs gateway",
        )


def _calls_at_once(bench: Bench) -> int:
    """How many of many calls at once are accepted on a budget of one call."""
    key = bench.key(max_budget=float(COST))
    accepted = counting.accepted(counting.at_once(bench, key, _AT_ONCE), _REFUSED)
    if 0 < accepted <= 1 + _BEYOND:
        return accepted
    message = f"{accepted} of {_AT_ONCE} calls at once were accepted on a budget of one call."
    data = {"accepted": accepted, "calls_at_once": _AT_ONCE}
    meaning = "calls in flight are not counted"
    raise _switched_off(bench, "disable_budget_reservation", message, meaning, data) or (
        counting.too_many(bench, message, **data)
    )


@contextmanager
def _customer(bench: Bench) -> Iterator[_Payer]:
    """A customer with a `budget_id`, named by `user`."""
    name = f"{VERIFY}-{bench.nonce()}"
    bench.admin.send("POST", "/budget/new", json={"budget_id": name, "max_budget": _TINY})
    payer = _Payer(bench, bench.common_key, "customer", {"user": name})
    try:
        bench.admin.send("POST", "/customer/new", json={"user_id": name, "budget_id": name})
        yield payer
    finally:
        # What LiteLLM has not written yet would bring the customer back.
        wait(lambda: "" if _spend(bench, name) >= COST * payer.accepted else "not written", Deadline(_WRITTEN))
        _remove(bench, name)


def _spend(bench: Bench, customer: str) -> Decimal:
    query = {"end_user_id": customer}
    found = bench.admin.find("GET", "/customer/info", not_there=_GONE, params=query) or {}
    return round(Decimal(str(found.get("spend") or 0)), 9)


def _remove(bench: Bench, name: str) -> None:
    bench.admin.find("POST", "/customer/delete", not_there=_GONE, json={"user_ids": [name]})
    bench.admin.find("POST", "/budget/delete", not_there=_GONE, json={"id": name})


def _remove_leftovers(bench: Bench) -> None:
    """Budgets and customers of a verify that was killed; each budget has its customer's name."""
    for budget in bench.admin.send("GET", "/budget/list"):
        name = str(budget["budget_id"])
        if name.startswith(VERIFY):
            _remove(bench, name)


def _comes_back(bench: Bench) -> float:
    """Seconds from a budget's end until its key is accepted again.

    LiteLLM ends a period of two minutes at the even minute, whenever it began.
    """
    payer = _Payer(bench, bench.key(max_budget=_TINY, budget_duration=_DURATION), "key")
    left = _left(bench, payer.key)
    if left < _MARGIN:
        time.sleep(max(0.0, left))
        return _comes_back(bench)
    _one_call_only(payer)
    ends = time.monotonic() + _left(bench, payer.key)
    time.sleep(max(0.0, ends - time.monotonic() - _EARLY))
    if payer.call().status_code == 200 and time.monotonic() < ends:
        raise NotProven(
            f"A key over its budget was accepted before its {_DURATION} were over.",
            cause="Something else set its spend back.",
            next="llm-gateway logs gateway",
        )
    bench.until(
        lambda: payer.call().status_code == 200,
        seconds=ends - time.monotonic() + _LATE,
        otherwise=lambda: _never_back(bench),
    )
    return time.monotonic() - ends


def _left(bench: Bench, key: str) -> float:
    """Seconds until the key's budget period ends."""
    info = bench.admin.send("GET", "/key/info", params={"key": key})["info"]
    return (datetime.fromisoformat(str(info["budget_reset_at"])) - datetime.now(UTC)).total_seconds()


def _never_back(bench: Bench) -> NotProven:
    general = section(bench.config, "general_settings")
    message = f"A key over its budget of {_DURATION} is still refused {_LATE:.0f} s after its end."
    switched = _switched_off(bench, "disable_reset_budget", message, "no budget ever comes back", {})
    every = general.get("proxy_budget_rescheduler_min_time", 597)
    return switched or NotProven(
        message,
        cause=f"LiteLLM looks for budgets to end every {every} s: general_settings.proxy_budget_rescheduler_min_time.",
        next="Set it and proxy_budget_rescheduler_max_time to 10, or leave both out; then: llm-gateway restart",
    )
