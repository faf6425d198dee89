"""Masking in a whole gateway: the real LiteLLM and the real Presidio, and a provider that keeps what reached it."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
import yaml

from doubles.server import running
from support.home import free_ports, home, kill
from support.presidio import SECRETS, TEXT, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from doubles.server import Double
    from support.home import Home

MESSAGES = [{"role": "user", "content": TEXT}]
PARTS = [{"role": "system", "content": TEXT}, {"role": "user", "content": [{"type": "text", "text": TEXT}]}]
ENTITIES = "PERSON,EMAIL_ADDRESS,PHONE_NUMBER,CREDIT_CARD,IBAN_CODE"
# What a client can send; each must reach the provider, without the secrets.
CALLS = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "chat in parts": ("/v1/chat/completions", {"messages": PARTS}),
    "chat without v1": ("/chat/completions", {"messages": MESSAGES}),
    "streaming": ("/v1/chat/completions", {"messages": MESSAGES, "stream": True}),
    "completions": ("/v1/completions", {"prompt": TEXT}),
    "embeddings": ("/v1/embeddings", {"input": TEXT}),
    "embeddings of a list": ("/v1/embeddings", {"input": ["Hello.", TEXT]}),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 20}),
    "responses": ("/v1/responses", {"input": TEXT}),
    "responses of a list": ("/v1/responses", {"input": MESSAGES}),
}


class Masked:
    """A gateway with masking, the provider behind it, and a client's key."""

    def __init__(self, made: Home, provider: Provider, ports: tuple[int, int], data: dict[str, Any]) -> None:
        self.home, self.provider, self.ports, self.data = made, provider, ports, data

    def call(self, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.data['key']}"}
        url = f"{self.home.url}{path}"
        return httpx.post(url, json={"model": "probe", **body}, headers=headers, timeout=60, trust_env=False)

    def chat(self, text: str = TEXT) -> httpx.Response:
        return self.call("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]})


def gateway(
    directory: Path, serve: Callable[..., Any], *flags: str, ports: tuple[int, int] | None = None, **more: Any
) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def start() -> Iterator[Masked]:
        with serve(Provider()) as provider:
            entry = {"model": "openai/m", "api_base": f"{provider.url}/v1", "api_key": "upstream-key"}
            config = {"model_list": [{"model_name": "probe", "litellm_params": entry}], **more}
            path = directory / "config.yaml"
            path.write_text(yaml.safe_dump(config), encoding="utf-8")
            analyzer, anonymizer = ports or tuple(free_ports(2))
            variables = [
                f"LLM_GATEWAY_PRESIDIO_ANALYZER_PORT={analyzer}",
                f"LLM_GATEWAY_PRESIDIO_ANONYMIZER_PORT={anonymizer}",
                "LLM_GATEWAY_ENABLE_PRESIDIO=true",
                "LLM_GATEWAY_ENABLE_REDIS=false",
                "LLM_GATEWAY_DATABASE=false",
            ]
            with home(*variables, *flags, config=path) as made:
                yield Masked(made, provider, (analyzer, anonymizer), made.start())

    return start()


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Masked]:
    flag = f"LLM_GATEWAY_PRESIDIO_ENTITIES={ENTITIES}"
    with gateway(tmp_path_factory.mktemp("masked"), running, flag) as made:
        yield made


def leaked(double: Double) -> list[str]:
    sent = json.dumps([request.body for request in double.requests])
    return [secret for secret in SECRETS if secret in sent]


@pytest.mark.parametrize("name", CALLS)
def test_no_secret_reaches_the_provider(masked: Masked, name: str) -> None:
    masked.provider.requests.clear()
    answer = masked.call(*CALLS[name])
    assert masked.provider.requests, answer.text
    assert answer.status_code == 200, answer.text
    assert leaked(masked.provider) == []
    assert all(f"<{entity}>" in masked.provider.sent for entity in ENTITIES.split(","))


def test_what_is_not_chosen_passes(masked: Masked) -> None:
    masked.provider.requests.clear()
    assert masked.chat("Meet me in Boston on 4 July 2026.").status_code == 200
    assert "Boston on 4 July 2026" in masked.provider.sent


def test_many_at_once(masked: Masked) -> None:
    masked.provider.requests.clear()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: masked.chat(f"{TEXT} And {number}."), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert leaked(masked.provider) == []
    assert len({json.dumps(request.body["messages"]) for request in masked.provider.requests}) == 24


def test_a_client_cannot_switch_it_off(masked: Masked) -> None:
    for more in (
        {"guardrails": []},
        {"disable_global_guardrails": True},
        {"metadata": {"disable_global_guardrails": True, "guardrails": []}},
        {"metadata": {"opted_out_global_guardrails": ["llm-gateway-presidio"]}},
        {"guardrails": [{"llm-gateway-presidio": {"extra_body": {"entities": ["UUID"]}}}]},
        {"metadata": {"guardrail_config": {"language": "zz"}}},
    ):
        masked.provider.requests.clear()
        masked.call("/v1/chat/completions", {"messages": MESSAGES, **more})
        assert leaked(masked.provider) == [], more


def test_a_presidio_that_does_not_answer_means_no_request(masked: Masked) -> None:
    process = masked.home.service("presidio")
    masked.provider.requests.clear()
    with psutil.Process(process.pid).oneshot():
        kill(process, signal.SIGKILL)
    # supervisord takes a moment, Presidio more than a second: whatever is sent now is refused or masked.
    answers = [masked.call(*CALLS[name]) for name in CALLS]
    assert answers[0].status_code >= 400, answers[0].text
    assert leaked(masked.provider) == []

    def back() -> str:
        answer = masked.chat()
        return "" if answer.status_code == 200 else answer.text

    masked.home.eventually(back, seconds=60)
    assert masked.home.service("presidio").pid != process.pid
    assert masked.provider.requests
    assert leaked(masked.provider) == []


def test_swapped_addresses_mean_no_request(masked: Masked, tmp_path: Path) -> None:
    """A second gateway that names the first one's Presidio as its own: once swapped, once right."""
    analyzer, anonymizer = (f"http://127.0.0.1:{port}" for port in masked.ports)
    swapped = [f"PRESIDIO_ANALYZER_API_BASE={anonymizer}", f"PRESIDIO_ANONYMIZER_API_BASE={analyzer}"]
    variables = [*swapped, "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_DATABASE=false"]
    with running(Provider()) as provider:
        entry = {"model": "openai/m", "api_base": f"{provider.url}/v1", "api_key": "upstream-key"}
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump({"model_list": [{"model_name": "probe", "litellm_params": entry}]}))
        with home(*variables, "LLM_GATEWAY_ENABLE_PRESIDIO=true", config=config) as made:
            error = made.error("start", "--detach", code=1)
            assert error["code"] == "E323"
            assert "mixed up" in error["message"]
            made.nothing_runs()
        # Where nobody asks Presidio beforehand, because only the file wants masking, each request is refused.
        asking = {"litellm_settings": {"callbacks": ["presidio"]}}
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **asking}))
        with home(*variables, config=config) as made:
            second = Masked(made, provider, masked.ports, made.start())
            statuses = {name: second.call(*CALLS[name]).status_code for name in CALLS}
            assert all(status >= 400 for status in statuses.values()), statuses
            assert provider.sent == "[]"


def test_answers_are_masked_when_asked_and_a_block_refuses(tmp_path: Path) -> None:
    flags = ("LLM_GATEWAY_PRESIDIO_SCOPE=both", "LLM_GATEWAY_PRESIDIO_ENTITIES=ALL,CREDIT_CARD=BLOCK")
    with gateway(tmp_path, running, *flags) as made:
        made.provider.says = "Ask Jane Doe, jane.doe@example.com."
        answer = made.chat("Whom can I ask?")
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"] == "Ask <PERSON>, <EMAIL_ADDRESS>."
        made.provider.requests.clear()
        refused = made.chat("My card is 4111 1111 1111 1111.")
        assert refused.status_code == 400
        assert "CREDIT_CARD" in refused.text
        assert made.provider.sent == "[]"


def test_an_entity_that_presidio_does_not_know_stops_the_start(tmp_path: Path) -> None:
    ports = free_ports(2)
    variables = [f"LLM_GATEWAY_PRESIDIO_{n}_PORT={p}" for n, p in zip(("ANALYZER", "ANONYMIZER"), ports, strict=True)]
    variables += ["LLM_GATEWAY_ENABLE_PRESIDIO=true", "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_DATABASE=false"]
    with home(*variables) as made:
        error = made.error("start", "--detach", "--presidio-entities", "PERSON,EMAIL", code=3)
        assert error["code"] == "E342"
        assert "EMAIL" in error["message"]
        assert "EMAIL_ADDRESS" in error["cause"]
        made.nothing_runs()
        wrong = made.error("start", "--detach", "--presidio-languages", f"en,de={made.root}", code=2)
        assert wrong["code"] == "E340"


@pytest.mark.long
def test_a_second_language(tmp_path: Path) -> None:
    text = "Bonjour, je m'appelle Jean Dupont, tél. 06 12 34 56 78, courriel jean@example.fr."
    with gateway(tmp_path, running, "LLM_GATEWAY_PRESIDIO_LANGUAGES=en,fr") as made:
        assert made.chat(text).status_code == 200
        assert all(secret not in made.provider.sent for secret in ("Dupont", "06 12", "jean@"))
        made.provider.requests.clear()
        assert made.chat().status_code == 200
        assert leaked(made.provider) == []
        memory = psutil.Process(made.home.service("presidio").pid).memory_full_info().pss
        assert memory < 400 * 2**20
