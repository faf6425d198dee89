"""Behind a corporate proxy with a private certificate authority."""

from __future__ import annotations

import pytest

from llm_gateway.gateway.environment import network_environment
from support.launcher import launched
from support.openai_upstream import serving
from support.proxy import private_authority, proxying

# No machine resolves it: an answer can only have come through the proxy.
PROVIDER = "api.provider.invalid"


@pytest.fixture(scope="module", params=["upper", "lower"])
def network(request, tmp_path_factory):
    """A gateway with a provider behind the proxy and a local model server."""
    folder = tmp_path_factory.mktemp("network")
    authority, context = private_authority(folder, PROVIDER)
    with serving(context) as provider, serving() as local, proxying({PROVIDER: provider.port}) as proxy:
        config = {
            "model_list": [
                provider.model("provider", host=PROVIDER),
                local.model("local"),
                local.model("local-name", host="localhost"),
            ]
        }
        names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
        variables = {name if request.param == "upper" else name.lower(): proxy.url for name in names}
        # the bundle is named by a variable that LiteLLM itself does not read
        variables |= {"REQUESTS_CA_BUNDLE": str(authority)}
        variables |= network_environment(variables)
        with launched(folder, config, env=variables) as gateway:
            yield gateway.ready(), proxy, provider, local


def content(answer) -> str:
    assert answer.status_code == 200, answer.text
    return answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_is_reached_through_the_proxy(network, stream):
    gateway, proxy, provider, _ = network
    proxy.connected.clear()
    provider.requests.clear()
    text = content(gateway.chat(model="provider", stream=stream))
    assert ("[DONE]" in text) if stream else ("from upstream" in text)
    assert len(provider.requests) == 1
    assert set(proxy.connected) <= {f"{PROVIDER}:{provider.port}"}


@pytest.mark.parametrize("model", ["local", "local-name"])
@pytest.mark.parametrize("stream", [False, True])
def test_local_services_are_never_reached_through_the_proxy(network, model, stream):
    gateway, proxy, _, local = network
    proxy.connected.clear()
    local.requests.clear()
    content(gateway.chat(model=model, stream=stream))
    assert len(local.requests) == 1
    assert proxy.connected == []


def test_nothing_else_asked_the_proxy(network):
    """No telemetry, no price map, no banner: after start and requests the proxy knows the provider only."""
    gateway, proxy, provider, _ = network
    content(gateway.chat(model="provider"))
    with gateway.client() as client:  # what the admin UI asks for first
        assert client.get("/get/latest_release_info").json() is None
    assert set(proxy.connected) | set(proxy.refused) <= {f"{PROVIDER}:{provider.port}"}


def test_a_wrong_proxy_password_is_the_gateways_answer(tmp_path):
    with proxying({}) as proxy:
        url = proxy.url.replace("s3cret", "wrong")
        authority, _ = private_authority(tmp_path, PROVIDER)
        model = {
            "model_name": "provider",
            "litellm_params": {"model": "openai/m", "api_base": f"https://{PROVIDER}/v1", "api_key": "k"},
        }
        env = {"HTTPS_PROXY": url, "SSL_CERT_FILE": str(authority)}
        with launched(tmp_path, {"model_list": [model]}, env=env) as gateway:
            gateway.ready()
            answer = gateway.chat(model="provider", num_retries=0)
        assert answer.status_code >= 500
        assert proxy.connected == []
        assert proxy.refused
        assert "wrong" not in answer.text
