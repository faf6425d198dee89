"""What `plan` and `config show` print holds no secret, and stays readable."""

from __future__ import annotations

import json
import time

import pytest

from llm_gateway.choices import resolve
from llm_gateway.model_config.redaction import HARMLESS, address, masked, without_credentials
from llm_gateway.model_config.schema import schema
from llm_gateway.services.presidio_guardrail import guardrail
from llm_gateway.verbs.context import catalogue


@pytest.mark.parametrize(
    "config",
    [
        {"general_settings": {"master_key": "hunter2"}},
        {"cache_params": {"password": "hunter2"}},
        {"cache_params": {"password": "change-me-hunter2"}},
        {"general_settings": {"master_key": 72727272}},
        {"litellm_params": {"vertex_credentials": {"type": "hunter2", "private_key": "hunter2"}}},
        {"litellm_params": {"vertex_credentials": '{"private_key": "-----BEGIN hunter2"}'}},
        {"litellm_params": {"api_keys": ["hunter2", "hunter2"]}},
        {"mcp_servers": {"a": {"args": ["--token", "hunter2", 72727272]}}},
        {"mcp_servers": {"a": {"auth_value": "hunter2", "env": {"PLAIN": "hunter2"}}}},
        {"mcp_servers": {"a": {"command": "npx server --access-token hunter2"}}},
        {"litellm_params": {"extra_headers": {"Ocp-Apim-Subscription-Key": "hunter2"}}},
        {"litellm_params": {"headers": {"X-Whatever": "hunter2"}}},
        {"litellm_params": {"cookie": "hunter2", "X-Auth": "hunter2", "apiKey": "hunter2"}},
        {"litellm_settings": {"generic_logger_headers": "X-Plain=hunter2"}},
        {
            "environment_variables": {
                "DD_APP_KEY": "hunter2",
                "SLACK_WEBHOOK_URL": "https://hooks/hunter2",
                "N": 72727272,
            }
        },
        {"general_settings": {"alert_to_webhook_url": {"budget": "https://hooks.example/T/hunter2"}}},
        {"litellm_params": {"api_base": "https://host/v1?api-key=hunter2&x=1"}},
        {"litellm_params": {"api_base": "https://hunter2@host"}},
        {"litellm_params": {"api_base": "hunter2@host:8000"}},
        {"litellm_params": {"anything": "https://u:hunter2@host/a"}},
        {"general_settings": {"database_url": "postgresql://u:hunter2/with/slash@host/db"}},
        {"general_settings": {"mongo": "host=h password='very hunter2' user=u"}},
        {"a": "Endpoint=sb://x;SharedAccessKey=hunter2"},
        {"a": "curl -H 'X-Api-Key: hunter2'"},
        {"a": "Bearer hunter2"},
        {"a": ["fine", "sk-hunter2hunter2"]},
        {"a": "-----BEGIN RSA PRIVATE KEY-----\nhunter2"},
        {"credential_list": [{"credential_name": "x", "credential_values": {"plain": "hunter2"}}]},
        {"max_tokens": "hunter2", "input_cost_per_token": "hunter2", "access_tokens": [72727272]},
        {"token": b"hunter2", "plain": b"hunter2"},
        {"set": {"sk-hunter2hunter2"}, "secrets": {"hunter2"}},
        {"pairs": [("api_key", "hunter2")]},
        {"litellm_license": "hunter2"},
    ],
    ids=str,
)
def test_no_secret_is_shown(config):
    shown = repr(masked(config))
    assert "hunter2" not in shown
    assert "72727272" not in shown
    assert "***" in shown


def test_a_part_of_a_config_is_judged_by_where_it_stands():
    assert masked("hunter2", ("litellm_params", "api_keys", 0)) == "***"
    assert masked({"x": "hunter2"}, ("environment_variables",)) == {"x": "***"}
    assert masked("hunter2", ("model_list", 0, "litellm_params", "headers", "x")) == "***"
    assert masked("gpt-4o", ("model_list", 0, "litellm_params", "model")) == "gpt-4o"


READABLE = {
    "model_list": [
        {
            "model_name": "claude",
            "litellm_params": {
                "model": "vertex_ai/claude-3-5-sonnet@20240620",
                "api_key": "os.environ/OPENAI_API_KEY",
                "api_base": "https://host:8000/v1?api-version=2024-10-21",
                "max_tokens": 100,
                "tpm": 5,
                "input_cost_per_token": 0.1,
                "output_cost_per_token": "1e-6",
                "cache_read_input_token_cost": "1e-7",
                "input_cost_per_token_above_200k_tokens": 3,
                "default_api_key_rpm_limit": 5,
                "valkey_host": "cache.local",
                "valkey_password": "os.environ/VALKEY_PASSWORD",
                "litellm_credential_name": "mine",
                "aws_bedrock": "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x",
                "headers": {"Authorization": "os.environ/BEARER", "x": True},
            },
            "model_info": {"max_input_tokens": 9, "custom_tokenizer": {"identifier": "a/b", "auth_token": None}},
        }
    ],
    "litellm_settings": {
        "key_generation_settings": {"team_key_generation": {"allowed_team_member_roles": ["admin"], "max_budget": 3}},
        "default_key_generate_params": {"max_budget": 1.5, "models": ["a"]},
        "cache_params": {"type": "valkey-semantic", "password": "", "host": "localhost"},
        "banned_keywords_list": ["word"],
    },
    "general_settings": {
        "custom_auth": "my_module.check",
        "key_management_system": "azure_key_vault",
        "user_api_key_cache_ttl": 60,
        "password_policy_min_length": 12,
        "require_auth_for_metrics_endpoint": True,
        "pass_through_endpoints": [{"path": "/v1/rerank", "target": "https://api.example/v1/rerank", "auth": True}],
        "litellm_jwtauth": {"user_id_jwt_field": None, "admin_jwt_scope": None, "public_key_ttl": 600},
        "alerting_args": {"daily_report_frequency": 5},
    },
    "router_settings": {"retry_policy": {"AuthenticationErrorRetries": 3}, "redis_url": "redis://localhost:6379/0"},
}


def test_what_is_harmless_stays_readable():
    assert masked(READABLE) == READABLE
    made = guardrail(resolve(catalogue(), flags={}, environ={}, saved={}), language="it")
    assert masked(made) == made


def test_every_exception_is_a_name_of_litellms_and_needed():
    words = json.dumps(schema())
    for name in HARMLESS:
        assert f'"{name}"' in words, f"{name} is no name of LiteLLM's"
        assert masked("x", (f"{name}_",)) == "x", name  # a sign at the end is no part of the name
        assert masked("x", (f"{name}_of_mine",)) == "***", f"{name} needs no exception"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://TOKEN@langfuse.example", "https://***@langfuse.example"),
        ("http://u:p@h:3000/x", "http://***@h:3000/x"),
        ("u:p@h:3000", "***@h:3000"),
        ("TOKEN@h:3000", "***@h:3000"),
        ("h:3000", "h:3000"),
        ("http://[::1]:3000/a@b", "http://[::1]:3000/a@b"),
        ("https://h/?x=1&token=t&y=2", "https://h/?x=1&token=***&y=2"),
    ],
)
def test_an_address(value, shown):
    assert address(value) == shown


def test_a_long_text_takes_no_time():
    started = time.monotonic()
    for text in ("a" * 10**6, "a-" * 10**6, "://a:b" * 10**5, "key " * 10**5, "--a" * 10**5, "-----BEGIN " * 10**5):
        without_credentials(text)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "text",
    [
        "mail me at bob@example.org",
        "https://host/path@2x.png",
        "postgresql://h1:5432,h2:5432/db?sslmode=require",
        "I am a helpful assistant: at 10:30 I pass the token on",
        "os.environ/API_KEY",
    ],
)
def test_ordinary_text_stays(text):
    assert without_credentials(text) == text
