"""`verify pii` with the real Presidio: what is masked is proven, and each way to break it is named."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from doubles.server import running
from llm_gateway.probes import Deadline, wait
from llm_gateway.services.presidio import ENVIRONMENT, PresidioProbe
from support.home import home
from support.presidio import SECRETS, TEXT, Provider, Server, serving
from support.verify import verified

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.home import Home

ANALYZER, ANONYMIZER = "PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE"
ENTITIES = "PERSON,EMAIL_ADDRESS,PHONE_NUMBER,CREDIT_CARD,IBAN_CODE"
ROUTES = ["chat", "stream", "completions", "embeddings", "messages", "responses"]
QUIET = ("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false", "LLM_GATEWAY_PRESIDIO_ENTITIES=" + ENTITIES)
PARAMS = {"guardrail": "presidio", "mode": "pre_call", "default_on": True, "presidio_filter_scope": "input"}


class Stack:
    """A gateway that masks by a Presidio of somebody else's: this test's, which it may name wrongly."""

    def __init__(self, made: Home, config: Path, provider: Provider, presidio: Server) -> None:
        self.made, self.config, self.provider, self.presidio = made, config, provider, presidio
        self.key = ""

    def addresses(self, analyzer: str = "", anonymizer: str = "") -> None:
        """What `.env` says of Presidio from the next reload on."""
        named = {ANALYZER: analyzer or self.presidio.analyzer, ANONYMIZER: anonymizer or self.presidio.anonymizer}
        file = self.made.env_file
        file.parent.mkdir(exist_ok=True)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        kept = [line for line in lines if not line.startswith(tuple(named))]
        file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in named.items()), ""]), encoding="utf-8")

    def reload(self, *flags: str, **sections: Any) -> dict[str, Any]:
        """Go on with other choices and other sections of the config."""
        entry = {"model": "openai/m", "api_base": f"{self.provider.url}/v1", "api_key": "none"}
        models = [{"model_name": "probe", "litellm_params": entry}]
        self.config.write_text(yaml.safe_dump({"model_list": models, **sections}), encoding="utf-8")
        verb = ("reload", *flags) if self.key else ("start", "--detach", "--config", str(self.config), *flags)
        envelope = self.made.ask(*verb)
        self.key = self.key or envelope["data"]["key"]
        return envelope

    def chat(self, text: str = TEXT) -> Any:
        body = {"model": "probe", "messages": [{"role": "user", "content": text}]}
        return self.made.api("POST", "/v1/chat/completions", self.key, json=body)

    def proof(self, *, code: int = 0) -> dict[str, Any]:
        return verified(self.made, "pii", code=code)["pii"]

    def lines(self, word: str) -> list[str]:
        """The gateway's log, line by line, where it holds `word`."""
        log = (self.made.root / "logs" / "llm-gateway.log").read_text(encoding="utf-8")
        return [line for line in log.splitlines() if word in line]


@pytest.fixture(scope="module")
def presidio() -> Iterator[Server]:
    with serving() as server:
        yield server


@contextmanager
def started(directory: Path, presidio: Server) -> Iterator[Stack]:
    with running(Provider()) as provider, home(*QUIET, config=None) as made:
        stack = Stack(made, directory / "config.yaml", provider, presidio)
        made.environ["LLM_GATEWAY_ENABLE_PRESIDIO"] = "true"
        stack.addresses()
        stack.reload()
        yield stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, presidio: Server) -> Iterator[Stack]:
    with started(tmp_path_factory.mktemp("pii"), presidio) as made:
        yield made


def test_masking_is_proven_on_every_route(stack: Stack) -> None:
    outcome = stack.proof()
    assert outcome["state"] == "proven", outcome
    assert outcome["data"]["routes"] == ROUTES
    assert outcome["data"]["masked"] == ENTITIES.split(",")
    assert outcome["data"]["status_when_presidio_fails"] == 400
    assert "when Presidio fails nothing leaves (400)" in outcome["text"]


def test_what_is_blocked_or_not_looked_for_is_said(stack: Stack) -> None:
    stack.reload("--presidio-entities", "PERSON,EMAIL_ADDRESS,IBAN_CODE=BLOCK")
    outcome = stack.proof()
    assert outcome["state"] == "proven", outcome
    assert outcome["data"]["blocked"] == ["IBAN_CODE"]
    assert outcome["data"]["not_looked_for"] == ["PHONE_NUMBER", "CREDIT_CARD"]
    assert "IBAN is refused (BLOCK); not looked for: phone or card number" in outcome["text"]
    stack.reload("--presidio-entities", ENTITIES)


def test_masked_answers_are_proven_where_they_are_wanted(stack: Stack) -> None:
    assert stack.proof()["data"]["answers"] == []
    stack.reload("--presidio-scope", "both")
    outcome = stack.proof()
    assert outcome["state"] == "proven", outcome
    assert outcome["data"]["answers"] == ["chat", "stream"]
    stack.reload("--presidio-scope", "request")


def test_an_entity_that_is_not_found_is_named(stack: Stack) -> None:
    own = {**PARAMS, "pii_entities_config": dict.fromkeys(ENTITIES.split(","), "MASK")}
    own["presidio_score_thresholds"] = {"PHONE_NUMBER": 0.99}  # Presidio is never so sure of one
    stack.reload(guardrails=[{"guardrail_name": "own", "litellm_params": own}])
    outcome = stack.proof(code=1)
    assert outcome["state"] == "not proven"
    assert outcome["text"].startswith("Phone reached the upstream unmasked (chat, stream,"), outcome
    assert outcome["data"]["entities"] == ["PHONE_NUMBER"]
    assert "does not find PHONE_NUMBER" in outcome["cause"]


def test_a_guardrail_that_fails_open_is_not_proven(stack: Stack) -> None:
    stack.reload(guardrails=[{"guardrail_name": "own", "litellm_params": PARAMS}])
    outcome = stack.proof(code=1)
    assert outcome["text"] == "A text that could not be analyzed reached the upstream."
    assert "pii_entities_config" in outcome["cause"]


def test_swapped_addresses_are_named(stack: Stack) -> None:
    stack.addresses(stack.presidio.anonymizer, stack.presidio.analyzer)
    stack.reload()
    outcome = stack.proof(code=1)
    stack.addresses()
    assert outcome["state"] == "not proven"
    assert "call was refused (400)" in outcome["text"]
    assert "is the anonymizer, not the analyzer; are the two addresses mixed up?" in outcome["cause"]
    assert "PRESIDIO_ANALYZER_API_BASE" in outcome["next"]


def test_a_wrong_port_is_named(stack: Stack) -> None:
    other = f"http://127.0.0.1:{stack.provider.port}"
    own = {**PARAMS, "pii_entities_config": {"PERSON": "MASK"}, "presidio_anonymizer_api_base": other}
    stack.reload(guardrails=[{"guardrail_name": "own", "litellm_params": own}])
    outcome = stack.proof(code=1)
    assert "call was refused (500)" in outcome["text"]
    assert f"{other}/health" in outcome["cause"]


def test_as_is_without_a_guardrail_is_named(stack: Stack) -> None:
    stack.reload("--as-is", litellm_settings={"callbacks": ["presidio"]})
    outcome = stack.proof(code=1)
    stack.reload("--no-as-is")
    assert "no guardrail of the config uses it" in outcome["text"]
    assert "--as-is" in outcome["cause"]


def test_a_dead_presidio_lets_texts_pass_or_not_as_chosen_and_is_named(stack: Stack, presidio: Server) -> None:
    """Last: this Presidio does not come back."""
    flags = ("--presidio-entities", f"{ENTITIES}=BLOCK", "--presidio-scope", "both")
    envelope = stack.reload("--presidio-on-failure", "pass", *flags)
    assert any("UNMASKED" in warning for warning in envelope["warnings"])
    refused = stack.chat("My IBAN is DE89370400440532013000.")
    assert (refused.status_code, "IBAN_CODE" in refused.text) == (400, True)
    stack.provider.requests.clear()
    stack.provider.says = "Ask Jane Doe."
    answer = stack.chat(TEXT.split(" IBAN ")[0])
    assert answer.json()["choices"][0]["message"]["content"] == "Ask <PERSON>."
    assert not [secret for secret in SECRETS if secret in stack.provider.sent]
    outcome = stack.proof()
    assert "when Presidio fails texts pass UNMASKED: presidioOnFailure=pass" in outcome["text"]
    # The guardrail that verify lets fail, and no other.
    assert len(stack.lines("UNMASKED")) == 1

    dies(presidio)
    stack.provider.requests.clear()
    assert [stack.chat().status_code for _ in range(3)] == [200] * 3
    assert stack.provider.sent.count(SECRETS[0]) == 3
    (line,) = [line for line in stack.lines("UNMASKED") if "llm-gateway-presidio:" in line]
    assert "analyzer fails (ClientConnectorError)" in line
    outcome = stack.proof(code=1)
    assert "reached the upstream unmasked" in outcome["text"]
    assert "Presidio cannot be used" in outcome["cause"]
    assert not [secret for secret in SECRETS if stack.lines(secret)]
    with again(presidio):
        stack.provider.requests.clear()
        assert stack.chat(TEXT.split(" IBAN ")[0]).status_code == 200
        assert SECRETS[0] not in stack.provider.sent
        assert "texts went out unmasked" in stack.lines("masks again")[0]
        stack.reload("--presidio-on-failure", "refuse")
        assert stack.proof()["state"] == "proven"
    outcome = stack.proof(code=1)
    assert "call was refused (500)" in outcome["text"]
    assert "Presidio cannot be used" in outcome["cause"]


def dies(presidio: Server) -> None:
    presidio.process.kill()
    presidio.process.wait(10)


@contextmanager
def again(presidio: Server) -> Iterator[None]:
    """The server once more, on its ports."""
    process = subprocess.Popen(presidio.process.args, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    try:
        reason = wait(PresidioProbe(presidio.analyzer, presidio.anonymizer), Deadline(60))
        assert not reason, reason
        yield
    finally:
        process.kill()
        process.wait(10)
