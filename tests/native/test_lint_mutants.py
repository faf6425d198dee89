"""What the lint lets pass really starts, and what it calls an error LiteLLM really refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.launcher import environment, launched
from support.lint_cases import context

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """\
model_list:
  - model_name: demo-chat
    litellm_params: {model: openai/gpt-4o-mini, api_key: none, mock_response: hello there}
"""
VARIABLES = {
    "LITELLM_MASTER_KEY": "sk-mutants-0123456789abcdef0123",
    "OPENAI_API_KEY": "none",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "1",
    "REDIS_PASSWORD": "",
    "LANGFUSE_HOST": "http://127.0.0.1:1",
    "PRESIDIO_ANALYZER_API_BASE": "http://127.0.0.1:1",
    "PRESIDIO_ANONYMIZER_API_BASE": "http://127.0.0.1:1",
}


def with_settings(*lines: str, section: str = "litellm_settings") -> str:
    return MODEL + f"{section}:\n" + "".join(f"  {line}\n" for line in lines)


def with_parameter(text: str) -> str:
    return MODEL.replace("api_key: none", f"api_key: none, {text}")


def router(*lines: str) -> str:
    return with_settings(*lines, section="router_settings")


def general(*lines: str) -> str:
    return with_settings(*lines, section="general_settings")


# Changes that look wrong, or are, and with which LiteLLM starts all the same: the lint may warn, but not refuse.
PASSING = {
    "as it is": MODEL,
    "unknown section": MODEL + "modell_list: []\n",
    "misspelt setting": with_settings("drop_parms: true"),
    "unknown general setting": general("master_kee: x"),
    "unknown router setting": router("num_retrys: 3"),
    "setting in the wrong section": general("drop_params: true"),
    "salt in the config": general("salt_key: sk-0123456789abcdef0123456789"),
    "no model list": "model_list:\n",
    "empty sections": MODEL + "litellm_settings:\nrouter_settings:\ngeneral_settings:\n",
    "mode under litellm_params": with_parameter("mode: chat"),
    "rpm of zero": with_parameter("rpm: 0"),
    "rpm as text": with_parameter("rpm: '10'"),
    "a switch as text": with_parameter("drop_params: 'yes'"),
    "timeout as a word": with_parameter("timeout: soon"),
    "unknown parameter": with_parameter("temprature: 1"),
    "unset variable": with_parameter("organization: os.environ/NOT_SET"),
    "shell variable": with_parameter("organization: '${ORGANIZATION}'"),
    "same deployment twice": MODEL + MODEL.split("\n", 1)[1],
    "catch-all wildcard": MODEL + "  - {model_name: '*', litellm_params: {model: 'openai/*', api_key: none}}\n",
    "unknown callback in success_callback": with_settings("success_callback: [langfus]"),
    "langfuse without keys": with_settings("success_callback: [langfuse]"),
    "callback twice": with_settings("success_callback: [langfuse, langfuse]"),
    "budget without a duration": with_settings("max_budget: 5"),
    "budget as text": with_settings("max_budget: '5'", "budget_duration: 1d"),
    "old semantic switch": with_settings(
        "cache: true", "cache_params: {type: local, redis_semantic_cache_use_async: true}"
    ),
    "redis by variables": with_settings("cache: true"),
    "cache parameters without a cache": with_settings("cache_params: {type: redis}"),
    "presidio as a callback": with_settings("callbacks: [presidio]"),
    "prometheus": with_settings("callbacks: [prometheus]"),
    "duplicate key": with_settings("drop_params: true", "drop_params: false"),
    "anchors and merges": MODEL.replace("model_list", "x-a: &a {timeout: 5}\nmodel_list").replace(
        "{model:", "{<<: *a, model:"
    ),
    "variable section with numbers": MODEL + "environment_variables: {SOME_NUMBER: 5}\n",
    "retries as a word": router("num_retries: three"),
    "price per million": MODEL + "    model_info: {input_cost_per_token: 0.15, output_cost_per_token: 0.6}\n",
    "own keys in model_info": MODEL + "    model_info: {team: research, contact: [a, b]}\n",
}
# What the lint calls an error because the start fails.
REFUSED = {
    "cache type": with_settings("cache: true", "cache_params: {type: rediss}"),
    "semantic without threshold": with_settings(
        "cache: true", "cache_params: {type: redis-semantic, host: h, port: 1}"
    ),
    "empty cache_params": with_settings("cache: true", "cache_params:"),
    "unknown callback": with_settings("callbacks: [langfus]"),
    "callback as text": with_settings("callbacks: langfuse"),
    "empty callbacks": with_settings("callbacks:"),
    "code that is not there": with_settings("callbacks: [nowhere.handler]"),
    "no model_name": MODEL.replace("model_name", "name"),
    "fallback with two keys": with_settings("fallbacks: [{demo-chat: [demo-chat], b: [demo-chat]}]"),
    "routing strategy": router("routing_strategy: fastest"),
    "refused by the router": router("health_check_interval: 60"),
    "include that is not there": MODEL + "include: [gone.yaml]\n",
    "settings as a list": MODEL + "litellm_settings: [drop_params]\n",
    "model list as a mapping": "model_list: {a: 1}\n",
    "tab": MODEL + "litellm_settings:\n  drop_params: true\t# fine?\n",
}


def linted(folder: Path, text: str):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path, lint_file(str(path), context(variables=VARIABLES))


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    """LiteLLM's own loading of the config; contacts nobody."""
    extra = {**VARIABLES, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    command = [
        sys.executable,
        "-c",
        "from litellm import run_server; run_server()",
        "--config",
        str(path),
        "--validate_config",
    ]
    env = environment(extra)
    return subprocess.run(command, env=env, cwd=path.parent, capture_output=True, text=True, check=False, timeout=120)


def test_there_are_thirty():
    assert len(PASSING) >= 30
    assert "PATH" in os.environ


@pytest.mark.long
@pytest.mark.parametrize("name", PASSING)
def test_what_has_no_error_loads(name, tmp_path):
    path, result = linted(tmp_path, PASSING[name])
    assert [finding for finding in result.findings if finding.severity == "error"] == []
    done = validate(path)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    assert "config OK" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_an_error_does_not_load(name, tmp_path):
    path, result = linted(tmp_path, REFUSED[name])
    assert [finding for finding in result.findings if finding.severity == "error"] != []
    assert validate(path).returncode != 0


@pytest.mark.long
@pytest.mark.parametrize("name", ["misspelt setting", "unset variable", "anchors and merges", "duplicate key"])
def test_what_has_no_error_answers(name, tmp_path):
    _, result = linted(tmp_path, PASSING[name])
    assert result.exit_code == 0
    with launched(tmp_path, PASSING[name]) as gateway:
        assert gateway.ready().chat().status_code == 200
