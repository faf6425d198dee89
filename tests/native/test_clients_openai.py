"""The official OpenAI client and plain HTTP against a whole gateway: LiteLLM, PostgreSQL, Redis, virtual key."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from uuid import uuid4

import openai
import pytest

from support.stack import eventually

if TYPE_CHECKING:
    from support.stack import Gateway

_HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.mark.parametrize("path", ["/v1", "", "/"])
def test_chat_with_and_without_v1(stack: Gateway, path: str) -> None:
    answer = stack.client(path=path).chat.completions.create(model="demo-chat", messages=_HELLO)

    assert answer.choices[0].message.content.startswith("Hello from your LLM gateway")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > 0


def test_stream_comes_in_pieces_and_ends_with_its_usage(stack: Gateway) -> None:
    stream = stack.client().chat.completions.create(
        model="demo-chat", messages=_HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(texts) > 1
    assert "".join(texts).startswith("Hello from your LLM gateway")
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("path", ["/v1", ""])
def test_embeddings(stack: Gateway, path: str) -> None:
    answer = stack.client(path=path).embeddings.create(model="demo-embed", input=["one", "two"])

    assert answer.data[0].embedding == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_models_are_listed_for_the_virtual_key(stack: Gateway) -> None:
    listed = {model.id for model in stack.client().models.list()}

    assert {"demo-chat", "demo-embed"} <= listed


def test_the_virtual_key_knows_itself(stack: Gateway) -> None:
    answer = stack.api("GET", "/key/info", key=stack.key)

    info = answer.json()["info"]
    assert answer.status_code == 200
    assert info["key_alias"] == "llm-gateway-key"
    assert info["team_id"] == "llm-gateway-team"
    assert info["user_id"] == "llm-gateway-user"


def test_an_unknown_key_and_no_key_are_refused(stack: Gateway) -> None:
    with pytest.raises(openai.AuthenticationError):
        stack.client("sk-nobody-has-this-key").chat.completions.create(model="demo-chat", messages=_HELLO)
    with pytest.raises(openai.AuthenticationError):
        stack.client("none").models.list()


def test_a_key_reaches_only_its_models(stack: Gateway) -> None:
    key = stack.new_key(models=["demo-embed"])

    with pytest.raises(openai.PermissionDeniedError):
        stack.client(key).chat.completions.create(model="demo-chat", messages=_HELLO)
    assert stack.client(key).embeddings.create(model="demo-embed", input="x").data


@pytest.mark.parametrize("who", ["master key", "virtual key"])
def test_the_snippet_of_seed_004(stack: Gateway, who: str) -> None:
    # The seed's own text; only key, address and model are filled in.
    snippet = """
import openai
client = openai.OpenAI(
    api_key="sk-password", # or virtual key
    base_url="http://0.0.0.0:4000"
)

response = client.chat.completions.create(model="model-name", messages = [
    {
        "role": "user",
        "content": "this is a test request"
    }
])

print(response)
"""
    key = stack.master_key if who == "master key" else stack.key
    port = stack.url.rpartition(":")[2]
    code = snippet.replace("sk-password", key).replace("4000", port).replace("model-name", "demo-chat")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=stack.environment
    )

    assert done.returncode == 0, done.stderr
    assert "Hello from your LLM gateway" in done.stdout


def test_spend_shows_on_key_user_team_and_log(stack: Gateway) -> None:
    user = stack.api("POST", "/user/new", json={"auto_create_key": False}).json()["user_id"]
    team = stack.api("POST", "/team/new", json={"team_alias": f"spend-{user}"}).json()["team_id"]
    key = stack.new_key(user_id=user, team_id=team)
    # The cache would answer equal requests, and its answers cost nothing.
    client = stack.client(key)
    for number in range(2):
        client.chat.completions.create(model="demo-chat", messages=[{"role": "user", "content": f"{user} {number}"}])

    def logged() -> list[dict[str, float]]:
        rows = stack.api("GET", "/spend/logs", params={"api_key": key}).json()
        return rows if len(rows) == 2 else []

    rows = eventually(logged, what="two rows in the log of spend")
    total = pytest.approx(sum(row["spend"] for row in rows))
    assert rows[0]["spend"] > 0
    looks = {
        "key": lambda: stack.api("GET", "/key/info", params={"key": key}).json()["info"]["spend"],
        "user": lambda: stack.api("GET", "/user/info", params={"user_id": user}).json()["user_info"]["spend"],
        "team": lambda: stack.api("GET", "/team/info", params={"team_id": team}).json()["team_info"]["spend"],
    }
    for name, look in looks.items():
        assert eventually(look, what=f"spend of the {name}") == total, name


def test_teams_made_with_the_master_key_leave_the_admin_an_admin(stack: Gateway) -> None:
    """LiteLLM would make the admin a member, with a record of an ordinary user that locks the admin UI for a while."""
    made = stack.api("POST", "/team/new", json={"team_alias": f"team-{uuid4()}"})
    listed = stack.api("GET", "/user/list", params={"user_ids": "default_user_id"})

    assert made.status_code == 200, made.text
    assert {user["user_role"] for user in listed.json()["users"]} <= {"proxy_admin"}
