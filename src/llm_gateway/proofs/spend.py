"""Proof of spend: what calls cost is on the key, its user, the customer and in the logs, to the last digit."""

from __future__ import annotations

import time
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llm_gateway.errors import GatewayError
from llm_gateway.names import ONCE
from llm_gateway.proofs.answers import said
from llm_gateway.proofs.base import Evidence, NotProven
from llm_gateway.services.probe_model import COMPLETION_TOKENS, INPUT_COST, OUTPUT_COST, PROMPT_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_gateway.proofs.bench import Bench

_CALLS = 3
_WITHIN = 15.0  # seconds; LiteLLM writes every services.gateway._FLUSH_SECONDS
_DIGITS = Decimal("1e-9")
COST = (Decimal(str(INPUT_COST)) * PROMPT_TOKENS + Decimal(str(OUTPUT_COST)) * COMPLETION_TOKENS).normalize()


def prove(bench: Bench) -> Evidence:
    """Calls of a user and a customer of their own, then what LiteLLM's four books say."""
    _remove_leftovers(bench)
    name = bench.name()
    bench.admin.send("POST", "/user/new", json={"user_id": name, "user_alias": name, "auto_create_key": False})
    try:
        return _prove(bench, name)
    finally:
        with suppress(GatewayError):  # what the proof found counts; the next verify removes them
            _remove(bench, name)


def _remove(bench: Bench, name: str) -> None:
    for kind in ("user", "customer"):
        bench.admin.find("POST", f"/{kind}/delete", not_there=(400, 404), json={"user_ids": [name]})


def _remove_leftovers(bench: Bench) -> None:
    """Users and customers of a verify that was killed; `user_ids` with one word lists all whose id holds it."""
    for user in bench.admin.send("GET", "/user/list", params={"user_ids": ONCE})["users"]:
        if str(user["user_id"]).startswith(ONCE):
            _remove(bench, str(user["user_id"]))


def _prove(bench: Bench, name: str) -> Evidence:
    key = bench.key(user_id=name)
    ids = []
    for _ in range(_CALLS):
        answer = bench.chat(f"spend {bench.nonce()}", key=key, user=name)
        if answer.status_code != 200:
            raise NotProven(
                f"A call was answered with {answer.status_code}: {said(answer)}",
                cause="The gateway itself cannot answer: its own probe model stands behind this call, no provider.",
                next="llm-gateway logs gateway",
            )
        ids.append(answer.headers.get("x-litellm-call-id", ""))
    began, expected = time.monotonic(), COST * _CALLS
    seen: dict[str, Decimal] = {}

    def written() -> bool:
        seen.clear()
        seen.update(_books(bench, key, name))
        return all(value == expected for value in seen.values())

    bench.until(written, seconds=_WITHIN, otherwise=lambda: _differs(seen, expected))
    data: dict[str, Any] = {"dollars": str(expected), "calls": ids, **{f"{k}_dollars": str(v) for k, v in seen.items()}}
    seconds = time.monotonic() - began
    return Evidence(f"${expected} for {_CALLS} calls on {', '.join(seen)}, after {seconds:.1f} s", data)


def _books(bench: Bench, key: str, name: str) -> dict[str, Decimal]:
    """What each place says of the calls, in US dollars."""
    admin = bench.admin
    of_key = admin.send("GET", "/key/info", params={"key": key})["info"]
    of_user = admin.send("GET", "/user/info", params={"user_id": name})["user_info"] or {}
    of_customer = admin.find("GET", "/customer/info", not_there=(400, 404), params={"end_user_id": name}) or {}
    rows = admin.send("GET", "/spend/logs", params={"api_key": key})
    return {
        "key": dollars(of_key),
        "user": dollars(of_user),
        "customer": dollars(of_customer),
        "logs": sum((dollars(row) for row in rows), Decimal(0)),
    }


def dollars(book: Mapping[str, Any]) -> Decimal:
    """What a book of LiteLLM says was spent."""
    # The database adds binary fractions; nine digits are a thousandth of a token's price.
    return Decimal(str(book.get("spend") or 0)).quantize(_DIGITS).normalize()


def _differs(seen: Mapping[str, Decimal], expected: Decimal) -> NotProven:
    wrong = {name: value for name, value in seen.items() if value != expected}
    shown = ", ".join(f"{name} ${value}" for name, value in wrong.items())
    nothing = not any(wrong.values())
    return NotProven(
        f"{_CALLS} calls cost ${expected}, but LiteLLM wrote: {shown}.",
        cause="LiteLLM does not write spend: the database is gone, or disable_spend_logs is set in the config."
        if nothing
        else "LiteLLM lost some of it, or counts with another price.",
        next="llm-gateway doctor; llm-gateway logs gateway",
        data={name: str(value) for name, value in seen.items()},
    )
