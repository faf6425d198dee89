"""Addresses that are wrong from where the gateway runs, wherever in the config they stand."""

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import KEY, MODEL, context, guardrail, params, settings

EVERYWHERE = {
    "a model": params(f"{KEY}, api_base: 'http://10.1.2.3:8000/v1'", "openai/own"),
    "an MCP server": MODEL + "mcp_servers: {tools: {url: 'http://10.1.2.3/mcp'}}\n",
    "an endpoint": settings("pass_through_endpoints: [{path: /x, target: 'http://10.1.2.3/x'}]", "general_settings"),
    "a guardrail": guardrail("guardrail: aporia, mode: pre_call, default_on: true, api_base: 'http://10.1.2.3'"),
}


def found(folder, text, **where):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return [finding.id for finding in lint_file(str(path), context(**where)).findings]


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_proxy_before_a_private_address(name, tmp_path):
    assert found(tmp_path, EVERYWHERE[name], proxies={"http": "http://proxy:3128"}) == ["C095"]
    assert found(tmp_path, EVERYWHERE[name], proxies={"http": "http://proxy:3128", "no": "10.0.0.0/8"}) == []
    assert found(tmp_path, EVERYWHERE[name]) == []


@pytest.mark.parametrize("name", EVERYWHERE)
def test_localhost_in_a_container(name, tmp_path):
    text = EVERYWHERE[name].replace("10.1.2.3", "localhost")
    assert found(tmp_path, text, container=True) == ["C054"]
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(("name", "value"), [("LANGFUSE_HOST", "http://localhost:3000"), ("REDIS_HOST", "127.0.0.1")])
def test_localhost_of_a_variable_in_a_container(name, value, tmp_path):
    assert found(tmp_path, MODEL, container=True, variables={name: value}) == ["C054"]
    own = frozenset({"gateway", "redis", "langfuse"})  # the kit writes the right address itself
    assert found(tmp_path, MODEL, container=True, variables={name: value}, enabled=own) == []
