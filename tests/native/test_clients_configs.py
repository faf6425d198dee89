"""Every starter config in a running gateway; -ollama and -local end to end against doubles of those servers."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import litellm
import openai
import pytest
import yaml
from litellm.proxy._types import ConfigGeneralSettings, ConfigYAML
from PIL import Image

from doubles.ollama import Ollama
from doubles.openai_compatible import OpenAICompatible
from doubles.server import count, running, vector
from llm_gateway.names import PROBE
from support.stack import started, starter, written
from unit.test_starter_configs import CONFIGS, with_samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.stack import Gateway

_PLAIN = ("--no-database", "--no-enable-redis", "--workers", "1")
_HELLO = [{"role": "user", "content": "How many words are these?"}]
# load_config reads these; LiteLLM's own model of the file does not have them.
_KNOWN_EXTRAS = {"guardrails", "include", "callback_settings"}


def _picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "orange").save(stream, "PNG")
    return stream.getvalue()


def _asks_about(url: str) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_litellm_knows_every_section_and_setting(path: Path) -> None:
    config = with_samples(path)

    ConfigYAML(**config)
    assert set(config) <= {*ConfigYAML.model_fields, *_KNOWN_EXTRAS}
    assert set(config.get("general_settings") or {}) <= set(ConfigGeneralSettings.model_fields)
    unknown = {name for name in config.get("litellm_settings") or {} if not hasattr(litellm, name)}
    assert unknown <= {"cache_params"}


@pytest.mark.long  # `providers` below starts the models of all four in one gateway
@pytest.mark.parametrize("name", ["openai", "bedrock", "ollama", "local"])
def test_starts_by_itself_and_lists_its_models(name: str, tmp_path: Path) -> None:
    text = starter(name)
    config = tmp_path / "config.yaml"
    config.write_text(text, encoding="utf-8")

    with started(config, *_PLAIN) as gateway:
        listed = {model.id for model in gateway.client().models.list()}

    assert listed == {model["model_name"] for model in yaml.safe_load(text)["model_list"]}


def test_production_starts_with_dummy_keys_and_budgets(stack: Gateway, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    with running(OpenAICompatible(models=("gpt-4o-mini",), api_key="sk-dummy")) as provider:
        base = {"https://api.openai.com/v1": f"{provider.url}/v1"}
        config.write_text(starter("production", replace=base), encoding="utf-8")
        with started(config, variables={"OPENAI_API_KEY": "sk-dummy"}, venvs=stack.home / "venvs") as gateway:
            listed = {model.id for model in gateway.client().models.list()}
            answer = gateway.client().chat.completions.create(model="chat", messages=_HELLO, user="somebody")
            log = gateway.log(lines=200)

    assert listed == {"chat", "chat-fallback", "embeddings"}
    assert answer.choices[0].message.content == "I read 5 words."
    assert "will NOT be enforced" not in log
    assert set(provider.bodies("/v1/chat/completions")[-1]) <= {"model", "messages", "user"}


@dataclass(frozen=True)
class Providers:
    """One gateway with the models of four starter configs, and the doubles behind two of them."""

    gateway: Gateway
    ollama: Ollama
    local: OpenAICompatible
    models: frozenset[str]


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    """-openai, -bedrock, -ollama and -local, included as they are but for the addresses of the last two.

    Beside them the mistake that seed 002 warns of.
    """
    folder = tmp_path_factory.mktemp("providers")
    with running(Ollama()) as ollama, running(OpenAICompatible()) as local:
        hosts = ("http://localhost:8000", "http://localhost:9997", "http://localhost:8080")
        texts = {
            "openai.yaml": starter("openai"),
            "bedrock.yaml": starter("bedrock"),
            "ollama.yaml": starter("ollama", replace={"http://localhost:11434": ollama.url}),
            "local.yaml": starter("local", replace=dict.fromkeys(hosts, local.url)),
        }
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        wrong = {"model": "ollama/llava:7b", "api_base": f"{ollama.url}/v1"}
        mistake = {"model_name": "llava-with-v1", "litellm_params": wrong}
        whole = written(folder, "whole.yaml", {"model_list": [mistake], "include": list(texts)})
        names = {model["model_name"] for text in texts.values() for model in yaml.safe_load(text)["model_list"]}
        with started(whole, *_PLAIN) as gateway:
            yield Providers(gateway, ollama, local, frozenset(names))


def test_the_models_of_all_providers_are_listed(providers: Providers) -> None:
    listed = {model.id for model in providers.gateway.client().models.list()}

    # Without a database there are no teams, so the kit's own model cannot be hidden.
    assert listed == {*providers.models, "llava-with-v1", PROBE}
    assert {"gpt-4o-mini", "nova-lite", "titan-embed", "llava", "kserve/gte-large/v1"} <= listed


def test_ollama_chat_and_stream(providers: Providers) -> None:
    gateway, server = providers.gateway, providers.ollama
    answer = gateway.client().chat.completions.create(model="qwen-coder", messages=_HELLO, temperature=0)
    stream = gateway.client().chat.completions.create(
        model="qwen-coder", messages=_HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    assert answer.choices[0].message.content == "I read 5 words."
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 4)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(texts) > 1
    assert "".join(texts) == "I read 5 words."
    assert chunks[-1].usage.total_tokens == 9
    arrived = server.bodies("/api/chat")[0]
    assert arrived["model"] == "qwen2.5-coder:7b"
    assert arrived["options"] == {"temperature": 0}
    assert "mode" not in str(arrived).replace("'model'", "")


def test_ollama_embeddings(providers: Providers) -> None:
    gateway, server = providers.gateway, providers.ollama
    answer = gateway.client().embeddings.create(model="bge-m3", input=["eins", "zwei"], encoding_format="float")

    assert [row.embedding for row in answer.data] == [pytest.approx(vector("eins")), pytest.approx(vector("zwei"))]
    assert server.bodies("/api/embed")[-1] == {"model": "bge-m3", "input": ["eins", "zwei"]}


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", ""], ids=["data URI", "bare base64 of seed 002"])
def test_ollama_vision(providers: Providers, prefix: str) -> None:
    gateway, server = providers.gateway, providers.ollama
    url = prefix + base64.b64encode(_picture()).decode()
    answer = gateway.client().chat.completions.create(model="llava", messages=_asks_about(url))

    assert "saw 1 image" in answer.choices[0].message.content
    (image,) = server.bodies("/api/generate")[-1]["images"]
    assert Image.open(io.BytesIO(base64.b64decode(image))).size == (4, 4)


def test_ollama_with_v1_fails_as_seed_002_says(providers: Providers) -> None:
    gateway, server = providers.gateway, providers.ollama
    with pytest.raises(openai.APIStatusError) as refused:
        gateway.client().chat.completions.create(model="llava-with-v1", messages=_HELLO)

    assert refused.value.status_code >= 400
    assert "404 page not found" in refused.value.message
    assert server.bodies("/v1/api/generate")


def test_local_chat_stream_and_vision(providers: Providers) -> None:
    gateway, server = providers.gateway, providers.local
    client = gateway.client()
    answer = client.chat.completions.create(model="local-chat", messages=_HELLO)
    stream = client.chat.completions.create(model="local-chat", messages=_HELLO, stream=True)
    picture = "data:image/png;base64," + base64.b64encode(_picture()).decode()
    seen = client.chat.completions.create(model="local-chat", messages=_asks_about(picture))

    assert answer.choices[0].message.content == "I read 5 words."
    assert answer.usage.prompt_tokens == count(_HELLO[0]["content"])
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "I read 5 words."
    assert "saw 1 image" in seen.choices[0].message.content
    arrived = server.bodies("/v1/chat/completions")
    assert {body["model"] for body in arrived} == {"Qwen/Qwen2.5-7B-Instruct"}
    assert not any("mode" in body for body in arrived)


@pytest.mark.parametrize(
    ("model", "path"), [("bge", "/v1/embeddings"), ("kserve/gte-large/v1", "/openai/v1/embeddings")]
)
def test_local_embeddings_without_mode_in_the_request(providers: Providers, model: str, path: str) -> None:
    gateway, server = providers.gateway, providers.local
    answer = gateway.client().embeddings.create(model=model, input=["LiteLLM Sample input", "Here is input Data."])

    assert answer.data[1].embedding == pytest.approx(vector("Here is input Data."), abs=1e-6)
    assert "mode" not in server.bodies(path)[-1]


def test_seed_000_by_http_and_by_the_litellm_sdk(providers: Providers) -> None:
    gateway = providers.gateway
    body = {"input": ["LiteLLM Sample input", "Here is input Data."], "model": "kserve/gte-large/v1"}
    by_http = gateway.api("POST", "/embeddings", key=gateway.key, json=body)
    by_sdk = litellm.embedding(
        model="openai/kserve/gte-large/v1",
        api_key=gateway.key,
        input=["This is input value", "Hi LiteLLM"],
        api_base=gateway.url,
    )

    assert by_http.json()["data"][0]["embedding"] == pytest.approx(vector("LiteLLM Sample input"), abs=1e-6)
    assert by_sdk.data[1]["embedding"] == pytest.approx(vector("Hi LiteLLM"), abs=1e-6)
    assert by_sdk.usage.prompt_tokens == 6
