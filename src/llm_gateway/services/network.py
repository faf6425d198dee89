"""The network as the gateway's processes see it: proxies, what goes past them, certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway.gateway.environment import network_environment
from llm_gateway.model_config.lint.rules.network import is_private

if TYPE_CHECKING:
    from llm_gateway.services.base import Stack


def network(stack: Stack) -> dict[str, str]:
    """The variables to set or replace in the gateway's environment."""
    return network_environment(stack.values, local_hosts=_local_hosts(stack))


def _local_hosts(stack: Stack) -> tuple[str, ...]:
    """Hosts that are never reached through a proxy, besides loopback. Langfuse may stand in the internet."""
    hosts = {_host(stack.public_url), stack.values.get("REDIS_HOST"), _host(stack.values.get("DATABASE_URL", ""))}
    langfuse = _host(with_scheme(stack.values.get("LANGFUSE_HOST", "")))
    hosts.add(langfuse if langfuse and is_private(langfuse) else None)
    return tuple(sorted(host for host in hosts if host))


def with_scheme(address: str) -> str:
    """LANGFUSE_HOST as LiteLLM 1.106.2 reads it: http is meant where no scheme is."""
    return address if address.startswith(("http://", "https://")) else f"http://{address}"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
