"""`verify budgets limits` on a real gateway: what holds is proven, what was broken on purpose is named."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.names import VERIFY
from llm_gateway.paths import Home as Paths
from llm_gateway.resources import resource
from support.home import home
from support.verify import verified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.home import Home


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Path]]:
    config = tmp_path_factory.mktemp("budgets") / "config.yaml"
    config.write_text((resource("configs") / "model-config-demo.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    with home("LLM_GATEWAY_WORKERS=2", config=config) as made:
        made.start()
        yield made, config


@contextmanager
def general(started: tuple[Home, Path], **settings: Any) -> Iterator[Home]:
    """The gateway with these in `general_settings`; afterwards as it was."""
    made, config = started
    before = config.read_text(encoding="utf-8")
    value = yaml.safe_load(before)
    value["general_settings"] = {**(value.get("general_settings") or {}), **settings}
    config.write_text(yaml.safe_dump(value), encoding="utf-8")
    try:
        made.ask("reload")
        yield made
    finally:
        config.write_text(before, encoding="utf-8")
        made.ask("reload")


def test_budgets_and_limits_are_proven_and_nothing_stays(started: tuple[Home, Path]) -> None:
    made, _ = started
    seen = verified(made, "budgets", "limits")
    budgets, limits = seen["budgets"], seen["limits"]
    assert (budgets["state"], limits["state"]) == ("proven", "proven"), seen
    assert (budgets["data"]["key_status"], budgets["data"]["customer_status"]) == (422, 422)
    assert 1 <= budgets["data"]["accepted_at_once"] <= 1 + budgets["data"]["stated_overshoot_calls"]
    assert limits["data"]["accepted"] == limits["data"]["rpm_limit"] == 3
    assert limits["data"]["tokens_used"] <= limits["data"]["tpm_limit"] + 15
    master = made.values()["LITELLM_MASTER_KEY"]
    customers = made.api("GET", "/customer/list", master).json()
    assert not [customer for customer in customers if customer["user_id"].startswith(VERIFY)]
    assert not [one for one in made.api("GET", "/budget/list", master).json() if one["budget_id"].startswith(VERIFY)]


def test_what_a_killed_verify_left_is_removed(started: tuple[Home, Path]) -> None:
    made, _ = started
    master, name = made.values()["LITELLM_MASTER_KEY"], f"{VERIFY}-left"
    made.api("POST", "/budget/new", master, json={"budget_id": name, "max_budget": 1}).raise_for_status()
    made.api("POST", "/customer/new", master, json={"user_id": name, "budget_id": name}).raise_for_status()
    assert verified(made, "budgets")["budgets"]["state"] == "proven"
    assert name not in made.api("GET", "/customer/list", master).text
    assert name not in made.api("GET", "/budget/list", master).text


def test_budgets_that_nobody_counts_are_not_proven(started: tuple[Home, Path]) -> None:
    with general(started, disable_spend_updates=True) as made:
        outcome = verified(made, "budgets", code=1)["budgets"]
    assert outcome["text"] == "A key's budget of one call let 8 calls pass."
    assert outcome["cause"].startswith("general_settings.disable_spend_updates is on")
    assert "config" in outcome["next"]


def test_calls_at_once_beyond_the_budget_are_not_proven(started: tuple[Home, Path]) -> None:
    with general(started, disable_budget_reservation=True) as made:
        outcome = verified(made, "budgets", code=1)["budgets"]
    # Without reservations already the next call may come before the first one's cost is counted.
    assert outcome["state"] == "not proven"
    assert "budget of one call" in outcome["text"]
    if "16 calls at once" in outcome["text"]:
        assert outcome["data"]["accepted"] > 2
        assert outcome["cause"].startswith("general_settings.disable_budget_reservation is on")


@pytest.mark.long
def test_a_budget_of_two_minutes_comes_back(started: tuple[Home, Path]) -> None:
    outcome = verified(started[0], "budgets", "--deep")["budgets"]
    assert outcome["data"]["budget_duration"] == "2m"
    assert outcome["data"]["back_after_seconds"] < 15


@pytest.mark.long
def test_a_budget_that_nobody_brings_back_is_named(started: tuple[Home, Path]) -> None:
    names = ("proxy_budget_rescheduler_min_time", "proxy_budget_rescheduler_max_time")
    with general(started, **dict.fromkeys(names, 597)) as made:
        outcome = verified(made, "budgets", "--deep", code=1)["budgets"]
    assert "still refused 45 s after its end" in outcome["text"]
    assert "every 597 s" in outcome["cause"]


def test_a_redis_that_died_is_named(started: tuple[Home, Path]) -> None:
    """Last: without it each worker counts for itself, and spend only once the database has it."""
    made, _ = started
    Supervisor(Paths(made.root)).stop("redis")
    seen = verified(made, "budgets", "limits", code=1)
    assert (seen["budgets"]["state"], seen["limits"]["state"]) == ("not proven", "not proven"), seen
    assert "of 16 calls at once were accepted with an rpm_limit of 3" in seen["limits"]["text"]
    for outcome in seen.values():
        assert outcome["cause"].startswith(f"Redis cannot be used (localhost:{made.ports['redis']} does not answer")
        assert "llm-gateway logs redis" in outcome["next"]
