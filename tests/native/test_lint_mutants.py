"""What the lint lets pass really starts and answers; what it says that cannot work really does not.

LiteLLM is imported once; each config then gets a start of its own (support/many_starts.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.launcher import environment
from support.lint_cases import context
from support.many_starts import Started, start_all

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
    "REDIS_PASSWORD": "",
    "LANGFUSE_HOST": "http://127.0.0.1:1",
}
PRESIDIO = "presidio_analyzer_api_base: 'http://127.0.0.1:1', presidio_anonymizer_api_base: 'http://127.0.0.1:1'"
UNREACHABLE = "cache_params: {type: redis, host: 127.0.0.1, port: 1}"
REDIS = "type: redis-semantic, host: 127.0.0.1, port: 1"


def with_settings(*lines: str, section: str = "litellm_settings") -> str:
    return MODEL + f"{section}:\n" + "".join(f"  {line}\n" for line in lines)


def with_parameter(text: str) -> str:
    return MODEL.replace("api_key: none", f"api_key: none, {text}")


def second(parameters: str) -> str:
    """Another model beside the one that answers."""
    return MODEL + f"  - {{model_name: second, litellm_params: {parameters}}}\n"


def guardrail(parameters: str) -> str:
    return MODEL + f"guardrails:\n  - {{guardrail_name: pii, litellm_params: {{{parameters}}}}}\n"


def router(*lines: str) -> str:
    return with_settings(*lines, section="router_settings")


def general(*lines: str) -> str:
    return with_settings(*lines, section="general_settings")


# Changes that look wrong, or are, and with which LiteLLM answers all the same: the lint may warn.
WORKING = {
    "as it is": MODEL,
    "unknown section": MODEL + "modell_list: []\n",
    "misspelt setting": with_settings("drop_parms: true"),
    "unknown general setting": general("master_kee: x"),
    "unknown router setting": router("num_retrys: 3"),
    "setting in the wrong section": general("drop_params: true"),
    "salt in the config": general("salt_key: sk-0123456789abcdef0123456789"),
    "empty sections": MODEL + "litellm_settings:\nrouter_settings:\ngeneral_settings:\nguardrails:\nmcp_servers:\n",
    "mode under litellm_params": with_parameter("mode: chat"),
    "rpm of zero": with_parameter("rpm: 0"),
    "rpm as text": with_parameter("rpm: '10'"),
    "a switch as text": with_parameter("drop_params: 'yes'"),
    "timeout as text": with_parameter("timeout: '30'"),
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
    "a user's budget as a word": with_settings("max_user_budget: lots"),
    "old semantic switch": with_settings(
        "cache: true", "cache_params: {type: local, redis_semantic_cache_use_async: true}"
    ),
    "cache parameters without a cache": with_settings("cache_params: {type: redis}"),
    "prometheus": with_settings("callbacks: [prometheus]"),
    "duplicate key": with_settings("drop_params: true", "drop_params: false"),
    "anchors and merges": MODEL.replace("model_list", "x-a: &a {timeout: 5}\nmodel_list").replace(
        "{model:", "{<<: *a, model:"
    ),
    "variable section with numbers": MODEL + "environment_variables: {SOME_NUMBER: 5}\n",
    "retries as a word": router("num_retries: three"),
    "context fallbacks as a mapping": with_settings("context_window_fallbacks: {demo-chat: [demo-chat]}"),
    "price per million": MODEL + "    model_info: {input_cost_per_token: 0.15, output_cost_per_token: 0.6}\n",
    "own keys in model_info": MODEL + "    model_info: {team: research, contact: [a, b]}\n",
    "alerting as text": general("alerting: slack"),
    "callback whose package is not there": with_settings("success_callback: [mlflow]"),
}
# Errors that spoil one thing; the rest works, so they do not stop a start.
SPOILT = {
    "a section twice": with_settings("drop_params: true") + "litellm_settings:\n  num_retries: 2\n",
    "rpm as a list": second("{model: openai/gpt-4o-mini, rpm: [1]}"),
    "rpm as a word": second("{model: openai/gpt-4o-mini, rpm: many}"),
    "timeout as a word": second("{model: openai/gpt-4o-mini, timeout: 30s}"),
    "callback as text": with_settings("success_callback: langfuse"),
    "no such fallback": with_settings("fallbacks: [{demo-chat: [nobody]}]"),
    "no such default fallback": router("default_fallbacks: [nobody]"),
    "alias of nothing": router("model_group_alias: {gpt: nobody}"),
    "group of nothing": router("routing_groups: [{group_name: g, models: [nobody], routing_strategy: least-busy}]"),
    "no such credential": second("{model: openai/gpt-4o-mini, litellm_credential_name: nobody}"),
    "ollama with /v1": second("{model: ollama/llava, api_base: 'http://127.0.0.1:1/v1'}"),
    "no provider": second("{model: my-model}"),
    "no URL": second("{model: openai/gpt-4o-mini, api_key: none, api_base: localhost}"),
    "empty model": second("{model: '', api_key: none}"),
    "router settings as a list": MODEL + "router_settings: [num_retries]\n",
    "database of no variable": general("database_url: os.environ/NOT_SET"),
}
# Errors with which LiteLLM does not come up, or answers nothing: they stop a start.
REFUSED = {
    "cache type": with_settings("cache: true", "cache_params: {type: rediss}"),
    "cache as text": with_settings("cache: 'true'", "cache_params: {type: local}"),
    "cache_params as text": with_settings("cache: true", "cache_params: local"),
    "empty cache_params": with_settings("cache: true", "cache_params:"),
    "semantic without threshold": with_settings("cache: true", f"cache_params: {{{REDIS}}}"),
    "redis without a host": with_settings("cache: true"),
    "valkey": with_settings("cache: true", "cache_params: {type: valkey-semantic, host: h, similarity_threshold: 0.8}"),
    "disk cache without its package": with_settings("cache: true", "cache_params: {type: disk}"),
    "unknown callback": with_settings("callbacks: [langfus]"),
    "callback as text": with_settings("callbacks: langfuse"),
    "callback as a number": with_settings("success_callback: [5]"),
    "empty callbacks": with_settings("callbacks:"),
    "callback without its package": with_settings("success_callback: [sentry]"),
    "code that is not there": with_settings("callbacks: [nowhere.handler]"),
    "code without an object": general("custom_auth: auth"),
    "no model_name": MODEL.replace("model_name", "name"),
    "model_name as a number": MODEL.replace("demo-chat", "5"),
    "no litellm_params": MODEL + "  - model_name: second\n",
    "empty litellm_params": second("{}"),
    "empty model_info": MODEL + "    model_info:\n",
    "model as a number": second("{model: 5}"),
    "model as text": MODEL + "  - second\n",
    "fallback with two keys": with_settings("fallbacks: [{demo-chat: [demo-chat], b: [demo-chat]}]"),
    "fallbacks as a mapping": with_settings("fallbacks: {demo-chat: [demo-chat]}"),
    "content fallbacks as a mapping": router("content_policy_fallbacks: {demo-chat: [demo-chat]}"),
    "alias as text": router("model_group_alias: gpt"),
    "routing strategy": router("routing_strategy: fastest"),
    "refused by the router": router("health_check_interval: 60"),
    "timeout of all as a word": with_settings("request_timeout: 30s"),
    "timeout of the router as a word": router("timeout: soon"),
    "budget as a word": with_settings("max_budget: lots"),
    "include that is not there": MODEL + "include: [gone.yaml]\n",
    "include as text": MODEL + "include: gone.yaml\n",
    "settings as a list": MODEL + "litellm_settings: [drop_params]\n",
    "model list as a mapping": "model_list: {a: 1}\n",
    "credentials without values": MODEL + "credential_list: [{credential_name: a}]\n",
    "guardrails as a mapping": MODEL + "guardrails: {a: 1}\n",
    "guardrail as text": MODEL + "guardrails: [pii]\n",
    "presidio without its addresses": guardrail("guardrail: presidio, mode: pre_call"),
    "own guardrail that is not there": guardrail("guardrail: nowhere.Guard, mode: pre_call"),
    "master key of no variable": general("master_key: os.environ/NOT_SET"),
    "empty master key": general("master_key: ''"),
    "known master key": general("master_key: sk-1234"),
    "key management": general("key_management_system: vault"),
    "licence": general("allowed_ips: [10.0.0.1]"),
    "tab": MODEL + "litellm_settings:\n  drop_params: true\t# fine?\n",
    "another kind of file": "services: {litellm: {image: 'x:1'}}\n",
}
# LiteLLM comes up, and nobody is protected, or nothing is billed: a start is stopped for that, too.
UNPROTECTED = {
    "lago without its variables": with_settings("success_callback: [lago]"),
    "guardrail of no kind": guardrail("mode: pre_call"),
    "guardrail without a mode": guardrail(f"guardrail: presidio, {PRESIDIO}"),
    "unknown guardrail": guardrail("guardrail: presidioo, mode: pre_call"),
    "unknown mode": guardrail(f"guardrail: presidio, mode: before, {PRESIDIO}"),
    "unknown action": guardrail(
        f"guardrail: presidio, mode: pre_call, default_on: true, pii_entities_config: {{PERSON: HIDE}}, {PRESIDIO}"
    ),
}
TABLES = {"working": WORKING, "spoilt": SPOILT, "refused": REFUSED, "unprotected": UNPROTECTED}


def errors(folder: Path, text: str):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    findings = lint_file(str(path), context(variables=VARIABLES)).findings
    return [finding for finding in findings if finding.severity == "error"]


def start(folder: Path, configs: dict[str, str]) -> dict[str, Started]:
    return start_all(folder, configs, {**environment(VARIABLES), "HOME": str(folder)})


@pytest.fixture(scope="module")
def starts(tmp_path_factory) -> dict[str, Started]:
    """Every config of the tables, really started."""
    configs = {f"{table}: {name}": text for table, texts in TABLES.items() for name, text in texts.items()}
    return start(tmp_path_factory.mktemp("starts"), configs)


@pytest.mark.parametrize("name", WORKING)
def test_what_has_no_error_answers(name, starts, tmp_path):
    assert errors(tmp_path, WORKING[name]) == []
    started = starts[f"working: {name}"]
    assert started.answer == 200, started


@pytest.mark.parametrize("name", SPOILT)
def test_what_spoils_one_thing_leaves_the_rest(name, starts, tmp_path):
    found = errors(tmp_path, SPOILT[name])
    assert [finding.fatal for finding in found] == [False] * max(1, len(found))
    started = starts[f"spoilt: {name}"]
    assert started.answer == 200, started


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_does_not(name, starts, tmp_path):
    assert any(finding.fatal for finding in errors(tmp_path, REFUSED[name]))
    assert starts[f"refused: {name}"].answer != 200


@pytest.mark.parametrize("name", UNPROTECTED)
def test_what_does_not_protect_stops_a_start_though_it_answers(name, starts, tmp_path):
    assert any(finding.fatal for finding in errors(tmp_path, UNPROTECTED[name]))
    assert starts[f"unprotected: {name}"].answer == 200  # else the table is wrong


def test_there_are_enough():
    assert len(WORKING) >= 30


@pytest.mark.long
def test_a_redis_that_does_not_answer_is_no_error(tmp_path):
    """LiteLLM tries for eight seconds, then serves without its cache."""
    text = with_settings("cache: true", UNREACHABLE)
    assert errors(tmp_path, text) == []
    assert start(tmp_path, {"redis": text})["redis"].answer == 200
