"""storePrompts with the real LiteLLM, PostgreSQL and Presidio: what lands in the spend log and what leaves it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from doubles.server import Answer, running
from support.home import Home, free_ports, home, kill
from support.presidio import SECRETS, TEXT, Provider
from support.stack import eventually, written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from doubles.server import Request

MESSAGES = [{"role": "user", "content": TEXT}]
PARTS = [{"role": "system", "content": TEXT}, {"role": "user", "content": [{"type": "text", "text": TEXT}]}]
TOOL = {"type": "function", "function": {"name": "f", "description": TEXT, "parameters": {"type": "object"}}}
ANSWER = "You are Peter Miller, peter.miller@example.org."
# What a client can send, and whether a masked text of it may be kept.
CALLS = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}, True),
    "parts": ("/v1/chat/completions", {"messages": PARTS}, True),
    "stream": ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}, True),
    "completions": ("/v1/completions", {"prompt": TEXT}, True),
    "embeddings": ("/v1/embeddings", {"input": ["Hello.", TEXT]}, True),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 20}, True),
    "responses": ("/v1/responses", {"input": MESSAGES}, True),
    "beside": ("/v1/chat/completions", {"messages": MESSAGES, "tools": [TOOL], "metadata": {"note": TEXT}}, True),
    "malformed": ("/v1/chat/completions", {"messages": f"no list: {TEXT}"}, False),
    "refused": ("/v1/chat/completions", {"messages": MESSAGES, "model": "no-such-model"}, False),
}


@dataclass
class Talkative(Provider):
    """A provider whose answers hold a name, each with an id of its own: LiteLLM keeps one row per id."""

    def answer(self, request: Request) -> Answer:
        answer = super().answer(request)
        if isinstance(answer.body, dict) and "id" in answer.body:
            answer.body["id"] = uuid.uuid4().hex
            for choice in answer.body.get("choices", []):
                choice.update({"message": {**choice["message"], "content": ANSWER}} if "message" in choice else {})
        return answer


@dataclass
class Logging:
    """A gateway that keeps prompts."""

    home: Home
    data: dict[str, Any]
    calls: dict[str, str] = field(default_factory=dict)

    def call(self, path: str, body: dict[str, Any]) -> str:
        """The id of a call's row."""
        answer = self.home.api("POST", path, self.data["key"], json={"model": "probe", **body})
        return answer.headers["x-litellm-call-id"]

    def sql(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.home.values()["DATABASE_URL"]) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def row(self, call: str) -> dict[str, Any]:
        """Every column of a call's row as text, when it is there."""
        query = 'select to_jsonb(l) from "LiteLLM_SpendLogs" l where litellm_call_id = %s or request_id = %s'
        (found,) = eventually(lambda: self.sql(query, call, call), what=f"the row of {call}")
        return found[0]


def _gateway(folder: Path, provider: Provider, *flags: str, **general: Any) -> Any:
    entry = {"model": "openai/m", "api_base": f"{provider.url}/v1", "api_key": "upstream-key"}
    prices = {"input_cost_per_token": 0.001, "output_cost_per_token": 0.002}
    config = {
        "model_list": [{"model_name": "probe", "litellm_params": {**entry, **prices}}],
        "router_settings": {"num_retries": 0},
        "general_settings": {"proxy_batch_write_at": 1, **general},
    }
    path = written(folder, "config.yaml", config)
    return home("LLM_GATEWAY_STORE_PROMPTS=true", "LLM_GATEWAY_ENABLE_REDIS=false", *flags, config=path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    """Without Presidio; it looks for old rows each minute, so the last test has not long to wait."""
    every_minute = {"maximum_spend_logs_cleanup_cron": "* * * * *"}
    with (
        running(Talkative(models=("m",))) as provider,
        _gateway(tmp_path_factory.mktemp("plain"), provider, **every_minute) as made,
    ):
        envelope = made.ask("start", "--detach")
        assert any("The Logs page keeps prompts for 7d" in line for line in envelope["warnings"])
        started = Logging(made, envelope["data"])
        _age(started, started.call("/v1/chat/completions", {"messages": [{"role": "user", "content": "old"}]}))
        yield started


def _age(gateway: Logging, call: str) -> None:
    """Make a call's row look eight days old."""
    gateway.row(call)
    moved = (
        """update "LiteLLM_SpendLogs" set "startTime" = "startTime" - interval '8 days' where litellm_call_id = %s"""
    )
    gateway.sql(moved, call)
    gateway.calls["old"] = call


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    analyzer, anonymizer = free_ports(2)
    flags = (
        f"LLM_GATEWAY_PRESIDIO_ANALYZER_PORT={analyzer}",
        f"LLM_GATEWAY_PRESIDIO_ANONYMIZER_PORT={anonymizer}",
        "LLM_GATEWAY_ENABLE_PRESIDIO=true",
    )
    with (
        running(Talkative(models=("m",))) as provider,
        _gateway(tmp_path_factory.mktemp("masked"), provider, *flags) as made,
    ):
        started = Logging(made, made.start())
        # All at once: LiteLLM writes the rows every few seconds.
        started.calls = {name: started.call(path, body) for name, (path, body, _) in CALLS.items()}
        yield started


def test_the_logs_page_has_what_was_asked_and_answered(plain: Logging) -> None:
    call = plain.call("/v1/chat/completions", {"messages": MESSAGES})
    row = plain.row(call)
    assert row["proxy_server_request"]["messages"] == MESSAGES
    assert row["response"]["choices"][0]["message"]["content"] == ANSWER
    # As LiteLLM's page reads it.
    day = row["startTime"][:10]
    query = {"start_date": f"{day} 00:00:00", "end_date": f"{day} 23:59:59"}
    path = f"/spend/logs/ui/{row['request_id']}"
    shown = plain.home.api("GET", path, plain.data["ui"]["password"], params=query).json()
    assert shown["proxy_server_request"]["messages"] == MESSAGES


@pytest.mark.parametrize("name", CALLS)
def test_only_masked_text_is_kept_while_presidio_is_on(masked: Logging, name: str) -> None:
    row, keeps = masked.row(masked.calls[name]), CALLS[name][2]
    text = json.dumps(row)
    assert [secret for secret in (*SECRETS, "Peter Miller", "peter.miller@example.org") if secret in text] == []
    assert ("<PERSON>, mail <EMAIL_ADDRESS>" in json.dumps(row["proxy_server_request"])) == keeps
    assert "Peter" not in text


def test_nothing_is_kept_of_a_call_that_was_refused_because_presidio_is_away(masked: Logging) -> None:
    kill(masked.home.service("presidio"))
    row = masked.row(masked.call("/v1/chat/completions", {"messages": MESSAGES}))
    assert row["status"] == "failure"
    assert [secret for secret in SECRETS if secret in json.dumps(row)] == []
    assert "not kept" in json.dumps(row["proxy_server_request"])


def test_calls_older_than_seven_days_leave_the_log_and_what_was_spent_stays(plain: Logging) -> None:
    recent = plain.call("/v1/chat/completions", {"messages": MESSAGES})
    plain.row(recent)
    old = plain.calls["old"]
    query = 'select count(*) from "LiteLLM_SpendLogs" where litellm_call_id = %s'
    eventually(lambda: plain.sql(query, old) == [(0,)], seconds=90, what="the old row's end")
    assert plain.sql(query, recent) == [(1,)]
    spent = plain.home.api("GET", "/key/info", plain.data["key"]).json()["info"]["spend"]
    rows = plain.sql('select sum(spend) from "LiteLLM_SpendLogs"')[0][0]
    assert spent > rows + 0.001


def test_without_a_database_it_is_refused(tmp_path: Path) -> None:
    with running(Talkative()) as provider, _gateway(tmp_path, provider, "LLM_GATEWAY_DATABASE=false") as made:
        assert made.error("start", "--detach", code=2)["code"] == "E379"
