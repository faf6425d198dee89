"""Proxies, containers, and the versions that must not run."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.registry import Found, rule
from llm_gateway.model_config.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node
    from llm_gateway.model_config.lint.findings import Position

_COMPROMISED = {(1, 82, 7), (1, 82, 8)}  # March 2026, OSV MAL-2026-2144
_SAFE_FROM = (1, 83, 10)  # CVE-2026-40217
_SERVICES = ("LANGFUSE_HOST", "LAGO_API_BASE", "PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE")
_OUTSIDE = "Write host.docker.internal, or the name of the other container."
_LOOPBACK = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104 - compared, not bound


def _hosts(document: Document) -> Iterator[tuple[str, str, Position]]:
    """Every upstream that the config names: what, host, where."""
    for model in document.models:
        for name in ("api_base", "base_url"):
            node = model.params.get(name)
            host = _host(str(node.value)) if node is not None else ""
            if node is not None and host:
                yield model.shown, host, node.at
        if model.provider in {"ollama", "ollama_chat"} and model.params.get("api_base") is None:
            yield model.shown, "localhost", model.params.at
    for what, mapping, name in _other_addresses(document):
        node = mapping.get(name)
        host = _host(str(node.value)) if node is not None else ""
        if node is not None and host:
            yield what, host, node.at


def _other_addresses(document: Document) -> Iterator[tuple[str, Node, str]]:
    for name, server in document.section("mcp_servers").items():
        yield f"the MCP server {name}", server, "url"
    for endpoint in document.section("general_settings").list("pass_through_endpoints"):
        yield f"the endpoint {endpoint.text('path')}", endpoint, "target"
    for guardrail in document.guardrails:
        params = guardrail.mapping("litellm_params")
        for name in params.value:
            if name.endswith("api_base"):
                yield f"the guardrail {guardrail.text('guardrail_name')}", params, name


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "" if "://" in url else ""
    except ValueError:
        return ""


def is_private(host: str) -> bool:
    """Is this host of the local network, by its address or its name?"""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan", ".localdomain", ".home.arpa"))
    return address.is_private or address.is_loopback or address.is_link_local


def is_exempt(host: str, proxies: Mapping[str, str]) -> bool:
    """Is the host excepted from the proxy by `proxies["no"]`? Suffixes as urllib and httpx read them."""
    for entry in (part.strip().lower().lstrip(".*") for part in proxies.get("no", "").split(",")):
        if entry and (entry == host or host.endswith(f".{entry}")):
            return True
        if "/" in entry and _in_network(host, entry):
            return True
    return proxies.get("no", "").strip() == "*"


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


@rule(
    "C095",
    "warning",
    "a proxy without an exception for local addresses",
    why="LiteLLM sends calls to this address through the proxy, which cannot reach it: odd errors and broken streams.",
)
def proxied(document: Document, context: LintContext) -> Iterable[Found]:
    if not any(context.proxies.get(scheme) for scheme in ("http", "https", "all")):
        return
    for what, host, at in _hosts(document):
        if is_private(host) and not is_exempt(host, context.proxies):
            loopback = host in _LOOPBACK
            said = "; llm-gateway start adds it, a bare LiteLLM does not" if loopback else ""
            message = f"{what}: a proxy is set, and NO_PROXY does not name {host}{said}"
            yield Found(at, message, f"Add {host} to NO_PROXY.", "info" if loopback else None)
    for name in _SERVICES:
        host = _host(context.value(name))
        if host and host not in _LOOPBACK and is_private(host) and not is_exempt(host, context.proxies):
            message = f"{name}: a proxy is set, and NO_PROXY does not name its host"
            yield Found(document.root.at, message, f"Add {name}'s host to NO_PROXY.")


@rule(
    "C054",
    "warning",
    "localhost from inside a container",
    why="In a container, localhost is the container itself; what runs on the machine is not there.",
)
def localhost_in_container(document: Document, context: LintContext) -> Iterable[Found]:
    if not context.container:
        return
    for what, host, at in _hosts(document):
        if host in _LOOPBACK:
            yield Found(at, f"{what}: {host} is the gateway's own container", _OUTSIDE)
    cache = document.section("litellm_settings").mapping("cache_params")
    if cache.text("host") in _LOOPBACK:
        yield Found(cache.value["host"].at, "the cache's host is the gateway's own container", _OUTSIDE)
    for name in (*_SERVICES, "DATABASE_URL", "REDIS_HOST"):
        value = context.value(name)
        if name not in context.provided and (_host(value) or value) in _LOOPBACK:
            yield Found(document.root.at, f"{name} names the gateway's own container", _OUTSIDE)


@rule(
    "C096",
    "error",
    "a compromised or vulnerable LiteLLM",
    why="1.82.7 and 1.82.8 carried malware that steals credentials; below 1.83.10 an admin route runs any code.",
    fatal=True,
)
def bad_version(document: Document, context: LintContext) -> Iterable[Found]:
    version = (context.packages or {}).get("litellm", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers in _COMPROMISED:
        fix = "Remove it, change every secret that this machine could read, and install the tested version."
        yield Found(document.root.at, f"LiteLLM {version} is installed, which was published with malware", fix)
    elif numbers and numbers < _SAFE_FROM:
        fix = "Install the tested version: see docs/versions.md"
        yield Found(document.root.at, f"LiteLLM {version} is installed, which has known holes", fix)


@rule("C097", "info", "another LiteLLM than this lint knows", why="Names and types may differ between versions.")
def other_version(document: Document, context: LintContext) -> Iterable[Found]:
    version, known = (context.packages or {}).get("litellm", ""), schema()["litellm"]
    if version and version != known:
        message = f"LiteLLM {version} is installed; the lint's rules are those of {known}"
        yield Found(document.root.at, message, f"Install LiteLLM {known}, or read the findings with care.")
