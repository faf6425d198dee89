"""Wiring with the real LiteLLM: masking that fails closed, traces that arrive, and what a person is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from doubles.presidio import Presidio
from doubles.server import running
from llm_gateway.model_config import include
from support.home import Home, home
from support.openai_upstream import serving
from support.stack import eventually, written

if TYPE_CHECKING:
    import httpx

    from doubles.langfuse import Langfuse

_MAIL = "jane.doe@example.com"
_QUIET = ("LLM_GATEWAY_DATABASE=false", "LLM_GATEWAY_ENABLE_REDIS=false")


def _mail(made: Home, key: str) -> httpx.Response:
    body = {"model": "demo-chat", "messages": [{"role": "user", "content": f"Write to {_MAIL}"}]}
    return made.api("POST", "/v1/chat/completions", key, json=body)


def test_masking_refuses_what_it_cannot_mask_and_as_is_lets_it_pass(tmp_path: Path) -> None:
    with serving() as upstream, home(*_QUIET) as made:
        settings = {"callbacks": ["presidio"]}
        config = written(tmp_path, "c.yaml", {"model_list": [upstream.model()], "litellm_settings": settings})
        with running(Presidio()) as presidio:
            made.environ.update(presidio.variables)
            envelope = made.ask("start", "--detach", "--config", str(config))
            key = envelope["data"]["key"]
            said = next(one for one in envelope["warnings"] if one.startswith("Not as the config says"))
            assert "litellm_settings.callbacks: presidio" in said
            assert _mail(made, key).status_code == 200
            assert upstream.requests.pop()["messages"][0]["content"] == "Write to <EMAIL_ADDRESS>"
            presidio.broken = True
            assert _mail(made, key).status_code >= 400
        assert _mail(made, key).status_code >= 400  # nobody listens there any more
        assert upstream.requests == []
        with running(Presidio(broken=True)) as presidio:
            made.environ.update(presidio.variables)
            envelope = made.ask("restart", "--as-is", "--config", str(config))
            assert not any("callbacks: presidio" in line for line in envelope["warnings"])
            assert _mail(made, key).status_code == 200
            assert _MAIL in upstream.requests.pop()["messages"][0]["content"]
            assert presidio.bodies("/analyze")


def test_an_enabled_presidio_masks_without_a_word_in_the_file(tmp_path: Path) -> None:
    flags = (*_QUIET, "LLM_GATEWAY_ENABLE_PRESIDIO=true")
    with serving() as upstream, running(Presidio()) as presidio, home(*flags) as made:
        made.environ.update(presidio.variables)
        config = written(tmp_path, "c.yaml", {"model_list": [upstream.model()]})
        key = made.start("--config", str(config))["key"]
        assert _mail(made, key).status_code == 200
        assert upstream.requests.pop()["messages"][0]["content"] == "Write to <EMAIL_ADDRESS>"


def test_calls_are_traced_by_a_langfuse_of_ones_own(tmp_path: Path, langfuse: Langfuse) -> None:
    params = {"model": "openai/x", "api_key": "none"}
    models = [
        {"model_name": "good", "litellm_params": {**params, "mock_response": "the-answer-we-look-for"}},
        {"model_name": "bad", "litellm_params": {**params, "mock_response": "litellm.InternalServerError"}},
    ]
    config = written(tmp_path, "c.yaml", {"model_list": models, "router_settings": {"num_retries": 0}})
    with home(*_QUIET, "LLM_GATEWAY_ENABLE_LANGFUSE=true") as made:
        made.environ.update({**langfuse.environment(), "LANGFUSE_FLUSH_INTERVAL": "1"})
        key = made.start("--config", str(config))["key"]
        assert made.chat(key, model="good").status_code == 200
        assert made.chat(key, model="bad").status_code >= 400

        def traced(words: str) -> bool:
            """The double takes a trace with its own keys only."""
            return any(words in json.dumps(seen, default=str) for seen in langfuse.observations())

        eventually(lambda: traced("the-answer-we-look-for"), what="the trace of the answer")
        eventually(lambda: traced("InternalServerError"), what="the trace of the failure")


def test_a_cache_that_is_switched_off_is_said_while_redis_runs(tmp_path: Path) -> None:
    model = {
        "model_name": "demo-chat",
        "litellm_params": {"model": "openai/x", "api_key": "none", "mock_response": "hi"},
    }
    config = written(tmp_path, "c.yaml", {"model_list": [model], "litellm_settings": {"cache": False}})
    with home("LLM_GATEWAY_DATABASE=false") as made:
        done = made.run("start", "--detach", "--config", str(config))
        assert done.returncode == 0, done.stderr
        assert "Redis runs, but the config does not use it as a cache" in done.stderr
        assert "Redis runs" in " ".join(made.ask("plan", "--config", str(config))["warnings"])


def test_config_show_prints_what_a_start_would_write_and_writes_nothing(tmp_path: Path) -> None:
    secret = "sk-live-0123456789abcdef"
    model = {"model_name": "m", "litellm_params": {"model": "openai/x", "api_key": secret}}
    written(tmp_path, "models.yaml", {"model_list": [model]})
    config = written(tmp_path, "c.yaml", {"include": ["models.yaml"], "litellm_settings": {"callbacks": ["presidio"]}})
    with home(*_QUIET) as made:
        before = sorted(made.root.rglob("*"))
        done = made.run("config", "show", str(config))
        shown = yaml.safe_load(done.stdout)
        assert shown["model_list"][0]["litellm_params"] == {"model": "openai/x", "api_key": "***"}
        assert shown["guardrails"][0]["litellm_params"]["guardrail"] == "presidio"
        assert "callbacks: presidio" in done.stderr
        assert made.ask("config", "show", str(config))["data"]["config"] == shown
        raw = yaml.safe_load(made.run("config", "show", str(config), "--raw").stdout)
        assert raw["model_list"][0] == model
        as_is = yaml.safe_load(made.run("config", "show", str(config), "--as-is").stdout)
        assert as_is == {"include": [str(tmp_path / "models.yaml")], "litellm_settings": {"callbacks": ["presidio"]}}
        plan = made.run("plan", "--config", str(config))
        assert "- litellm_settings.callbacks[]: presidio" in plan.stdout
        assert made.error("config", "show", "nowhere.yaml", code=2)["code"] == "E120"
        assert sorted(made.root.rglob("*")) == before


@pytest.mark.parametrize("nested", ["beside.yaml", "root-only.yaml", "../root.yaml"])
def test_includes_are_merged_as_litellm_merges_them(tmp_path: Path, nested: str) -> None:
    from litellm.proxy.common_utils.config_includes import resolve_include_file_path, resolve_includes

    (tmp_path / "parts").mkdir()
    files = {
        "root.yaml": {
            "include": ["parts/one.yaml", "two.yaml", "two.yaml"],
            "model_list": [1],
            "a": {"x": 1},
            "b": None,
        },
        "parts/one.yaml": {"include": [nested], "model_list": [2], "a": {"y": 1}, "b": [1]},
        "parts/beside.yaml": {"model_list": [3], "b": [2]},
        "beside.yaml": {"model_list": ["the other one"]},
        "root-only.yaml": {"model_list": [4], "a": None},
        "two.yaml": {"model_list": [5], "c": "x"},
    }
    for name, content in files.items():
        written(tmp_path, name, content)

    async def read(location: str) -> Any:
        return yaml.safe_load(await asyncio.to_thread(Path(location).read_text, encoding="utf-8"))

    root = tmp_path / "root.yaml"

    def resolve(entry: str, declared: str) -> str:
        return resolve_include_file_path(entry, declared, str(root))

    theirs = asyncio.run(resolve_includes(files["root.yaml"], str(root), resolve, read))
    assert include.read(root) == theirs
