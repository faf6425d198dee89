"""Upstreams on the gateway's own machine, which a gateway in a container must call by the host's address."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.document import REFERENCE
from llm_gateway.services.base import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "host.docker.internal"  # Docker Desktop's name; on Linux `extra_hosts: host.docker.internal:host-gateway`
_OLLAMA = "http://localhost:11434"  # where LiteLLM looks when nothing names it


def from_container(config: Mapping[str, Any], variables: Mapping[str, str], *, host: str = HOST) -> Iterator[Setting]:
    """Settings that lead every host-local upstream of `model_list` to `host`.

    Args:
        config: the config, includes merged.
        variables: what `os.environ/NAME` stands for.
        host: the machine's name inside the container.
    """
    models = config.get("model_list")
    for index, entry in enumerate(models if isinstance(models, list) else ()):
        params = entry.get("litellm_params") if isinstance(entry, dict) else None
        if not isinstance(params, dict):
            continue
        where = ("model_list", index, "litellm_params")
        reason = f"{entry.get('model_name')}: inside the gateway's container localhost is the container"
        bases = [name for name in ("api_base", "base_url") if params.get(name)]
        for name in bases:
            moved = rewritten(_resolved(params[name], variables), host)
            if moved:
                yield Setting((*where, name), moved, reason, "replace")
        if not bases and str(params.get("model")).startswith(("ollama/", "ollama_chat/")):
            moved = rewritten(variables.get("OLLAMA_API_BASE") or _OLLAMA, host)
            if moved:
                yield Setting((*where, "api_base"), moved, reason)


def _resolved(value: object, variables: Mapping[str, str]) -> str:
    text = str(value)
    return variables.get(text.removeprefix(REFERENCE), "") if text.startswith(REFERENCE) else text


def rewritten(url: str, host: str) -> str:
    """`url` with `host` in the place of a loopback host; "" when its host is another."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not _is_own(name):
        return ""
    userinfo, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{userinfo}{at}{host}" + (f":{port}" if port else "")).geturl()


def _is_own(name: str) -> bool:
    """Is this the machine itself, as seen from the machine?"""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
