"""`llm-gateway verify` on a real gateway: what works is proven, what was broken on purpose is named with its reason.

Cache, tracing, masking, metrics and budgets have files of their own.
"""

from __future__ import annotations

import json
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from doubles.openai_compatible import OpenAICompatible
from doubles.server import running
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.names import INTERNAL, PROBE, VERIFY
from llm_gateway.paths import Home as Paths
from support.home import Home, home
from support.verify import verified

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PRICE = {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}
MODELS = ("good", "down", "wrong-key", "sees", "vectors")
CORE = ("chat", "stream", "completions", "embeddings", "vision", "models", "keys", "spend")


def _config(provider: OpenAICompatible) -> dict[str, Any]:
    def model(name: str, base: str = f"{provider.url}/v1", key: str = "right", **info: Any) -> dict[str, Any]:
        # Names of the provider's own: LiteLLM keeps what it knows of a model under them.
        params = {"model": f"openai/{name}", "api_base": base, "api_key": key, "max_retries": 0}
        return {"model_name": name, "litellm_params": params, "model_info": {"mode": "chat", **info}}

    models = [
        model("good", **PRICE),
        model("down", "http://127.0.0.1:9/v1"),
        model("wrong-key", key="wrong"),
        model("sees", supports_vision=True),
        model("vectors", mode="embedding"),
    ]
    return {"model_list": models, "router_settings": {"num_retries": 0}}


@contextmanager
def _gateway(*flags: str, **sections: Any) -> Iterator[tuple[Home, Path, dict[str, Any]]]:
    """A started gateway, its config's path, and what start said."""
    with running(OpenAICompatible(models=MODELS, api_key="right")) as provider, home(*flags, config=None) as made:
        config = made.root / "mine.yaml"
        config.write_text(yaml.safe_dump({**_config(provider), **sections}))
        yield made, config, made.start("--config", str(config))


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[Home, Path, dict[str, Any]]]:
    with _gateway("LLM_GATEWAY_WORKERS=2") as made:
        yield made


@pytest.fixture
def made(started: tuple[Home, Path, dict[str, Any]]) -> Home:
    return started[0]


@contextmanager
def changed(started: tuple[Home, Path, dict[str, Any]], change: Mapping[str, Any]) -> Iterator[Home]:
    """The gateway with other sections in its config; afterwards as it was."""
    made, config, _ = started
    before = config.read_text()
    config.write_text(yaml.safe_dump({**yaml.safe_load(before), **change}))
    try:
        made.ask("reload")
        yield made
    finally:
        config.write_text(before)
        made.ask("reload")


def test_a_healthy_gateway_is_proven_and_nothing_of_it_stays(started) -> None:
    made, _, data = started
    done = made.run("verify", *CORE)
    assert done.returncode == 0, done.stdout
    assert "Calls to models that may cost money: good 3" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("8 proven, in ")
    seen = verified(made, *CORE)
    assert [seen[name]["state"] for name in CORE] == ["proven"] * len(CORE)
    assert seen["chat"]["data"]["models"]["good"]["tokens"] > 0
    assert set(seen["vision"]["data"]["models"]) == {"sees"}
    assert set(seen["embeddings"]["data"]["models"]) == {"vectors"}
    assert seen["models"]["data"]["models"] == ["down", "good", "sees", "vectors", "wrong-key"]
    assert seen["keys"]["data"]["revoked_after_seconds"] < 10
    books = ("key", "user", "customer", "logs")
    assert [seen["spend"]["data"][f"{book}_dollars"] for book in books] == ["0.0006"] * 4
    master = data["ui"]["password"]
    keys = made.api("GET", "/key/list", master, params={"return_full_object": "true", "size": "100"}).json()["keys"]
    assert not [key for key in keys if str(key["key_alias"]).startswith(VERIFY)]
    users = made.api("GET", "/user/list", master).json()["users"]
    assert not [user for user in users if user["user_id"].startswith(VERIFY)]
    customers = made.api("GET", "/customer/list", master).json()
    assert not [customer for customer in customers if customer["user_id"].startswith(VERIFY)]
    assert INTERNAL in {customer["user_id"] for customer in customers}


def test_the_probe_is_seen_and_used_by_nobody_else(started) -> None:
    made, _, data = started
    for key in (data["key"], data["ui"]["password"]):
        assert PROBE not in made.api("GET", "/v1/models", key).text
    body = {"model": PROBE, "messages": [{"role": "user", "content": "x"}]}
    assert made.api("POST", "/v1/chat/completions", data["key"], json=body).status_code in {400, 429}
    health = made.api("GET", "/health", data["ui"]["password"]).text
    assert PROBE not in health


def test_a_provider_that_is_down_is_no_failure_of_the_gateway(made: Home) -> None:
    outcome = verified(made, "chat", "--model", "down")["chat"]
    assert outcome["state"] == "unavailable"
    assert "The provider of down does not answer" in outcome["text"]
    both = verified(made, "chat", "--model", "good", "--model", "down")["chat"]
    assert both["state"] == "proven"
    assert set(both["data"]["models"]) == {"good"}
    assert "down" in both["text"]


def test_a_provider_that_refuses_the_key_is_named(made: Home) -> None:
    outcome = verified(made, "stream", "--model", "wrong-key", code=1)["stream"]
    assert (outcome["state"], outcome["cause"]) == ("not proven", "The provider refuses the key of this model.")
    assert "Incorrect API key" in outcome["text"]
    assert "reload" in outcome["next"]


def test_a_key_that_outlives_its_revocation_is_found(started) -> None:
    # LiteLLM's own default: the other worker believes in a deleted key for a minute.
    with changed(started, {"general_settings": {"user_api_key_cache_ttl": 60}}) as made:
        outcome = verified(made, "keys", code=1)["keys"]
    assert outcome["state"] == "not proven"
    assert outcome["text"] == "A revoked key is still accepted after 10 s."
    assert "user_api_key_cache_ttl" in outcome["cause"]


def test_spend_that_is_not_written_is_found(started) -> None:
    with changed(started, {"general_settings": {"disable_spend_logs": True}}) as made:
        outcome = verified(made, "spend", code=1)["spend"]
    assert outcome["text"] == "3 calls cost $0.0006, but LiteLLM wrote: logs $0."
    assert "disable_spend_logs" in outcome["cause"]


def test_words_that_mean_nothing(made: Home) -> None:
    error = made.error("verify", "cahce", code=2)
    assert (error["code"], "cahce" in error["message"]) == ("E701", True)
    assert "spend" in error["cause"]
    for words in (("--deep",), ("restart",)):
        assert made.error("verify", "--watch", *words, code=2)["code"] == "E707"
    unknown = made.error("verify", "--model", "gpt-9", code=2)
    assert (unknown["code"], "good" in unknown["cause"]) == ("E701", True)


def test_a_taken_port_and_a_second_verify(made: Home) -> None:
    with socket.create_server(("127.0.0.1", int(made.environ["LLM_GATEWAY_PROBE_PORT"]))):
        assert made.error("verify", "models", code=3)["code"] == "E702"
    first = made.popen("verify", "--watch", "models")
    try:
        assert first.stderr is not None
        assert first.stdout is not None
        assert "Verifying" in first.stderr.readline()
        assert made.error("verify", "models", code=3)["code"] == "E704"
        assert first.stdout.readline().startswith("models  proven")
    finally:
        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 0
        first.communicate()


def test_a_killed_verify_leaves_keys_that_the_next_removes(started) -> None:
    made, _, data = started
    master = data["ui"]["password"]
    made.new_key(master, key_alias=f"{VERIFY}-killed", team_id=INTERNAL, user_id=INTERNAL)
    verified(made, "models")
    listed = made.api("GET", "/key/list", master, params={"key_alias": f"{VERIFY}-killed"}).json()["keys"]
    assert listed == []


def test_nothing_is_verified_without_the_database_or_the_gateway(made: Home) -> None:
    supervisor = Supervisor(Paths(made.root))
    for name, title in (("postgres", "PostgreSQL"), ("gateway", "Gateway")):
        supervisor.stop(name)
        try:
            error = made.error("verify", code=3)
        finally:
            supervisor.start(name)
        assert error["code"] == "E706"
        assert error["message"].startswith(f"{title} is not ready")
        made.eventually(lambda: "" if made.run("status").returncode == 0 else "not ready", seconds=60)


def test_keys_spend_and_cache_outlive_a_restart(made: Home) -> None:
    outcome = verified(made, "restart")["restart"]
    assert outcome["state"] == "proven", outcome
    assert outcome["text"].startswith("key, spend and cache are still there after")


def test_nothing_runs() -> None:
    with home() as made:
        error = made.error("verify", code=3)
        assert (error["code"], error["next"]) == ("E700", "llm-gateway start")


def test_without_a_database_and_as_it_is() -> None:
    with _gateway("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false") as (made, _, _data):
        seen = verified(made, *CORE, "--model", "good", "--model", "vectors")
        assert (seen["chat"]["state"], seen["keys"]["state"], seen["spend"]["state"]) == ("proven", "off", "off")
        assert json.loads(made.run("verify", "chat", "--json").stdout)["data"]["paid_calls"] == {"good": 1}
        made.ask("reload", "--as-is")
        bare = verified(made, "chat", "--model", "down")["chat"]
        assert bare["state"] == "unavailable"
