"""The admin UI in a real browser: what a person makes there works for applications."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from support.browser import chromium
from support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.browser import Browser
    from support.stack import Gateway

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module")
def browser(stack: Gateway) -> Iterator[Browser]:
    """Logged in as `admin` with the master key, as the summary says."""
    with chromium() as found:
        found.open(f"{stack.data['ui']['url']}/")
        found.fill("username", stack.data["ui"]["user"])
        found.fill("password", stack.data["ui"]["password"])
        found.click("Login")
        eventually(lambda: "/login" not in found.url, what="the log-in")
        found.field("a[href*='/ui/budgets']")
        yield found


def test_a_key_made_in_the_ui_answers_a_chat(stack: Gateway, browser: Browser) -> None:
    alias = f"from-the-ui-{uuid4()}"
    browser.open(f"{stack.url}/ui/api-keys/")
    browser.click("+ Create New Key")
    browser.field("#key_alias").send_keys(alias)
    browser.field("#models").click()
    browser.click("demo-chat", css="[role=option]")
    browser.click("Create Key")
    shown = re.search(r"sk-[\w-]{16,}", browser.dialog("sk-"))

    assert shown
    answer = stack.client(shown[0]).chat.completions.create(
        model="demo-chat", messages=[{"role": "user", "content": "Hello!"}]
    )
    assert answer.choices[0].message.content.startswith("Hello from your LLM gateway")
    info = stack.api("GET", "/key/info", params={"key": shown[0]}).json()["info"]
    assert (info["key_alias"], info["models"]) == (alias, ["demo-chat"])


def test_a_budget_made_in_the_ui_exists(stack: Gateway, browser: Browser) -> None:
    name = f"hyper-budget-{uuid4()}"
    browser.open(f"{stack.url}/ui/budgets/")
    browser.click("Create Budget")
    browser.fill("budget_id", name)
    browser.click("Optional Settings")
    browser.fill("max_budget", "5\n")  # Enter: the button below still slides to its place

    def found() -> list[dict[str, object]]:
        answer = stack.api("POST", "/budget/info", json={"budgets": [name]})
        return list(answer.json()) if answer.is_success else []

    (budget,) = eventually(found, what="the budget")
    assert budget["max_budget"] == pytest.approx(5)
