"""Checks that belong to no service: the machine, the home, the installation, the network settings."""

from __future__ import annotations

import os
import re
import stat
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from llm_gateway.discovery import disk_free, memory_limit
from llm_gateway.services.base import Check
from llm_gateway.services.registry import SERVICES

if TYPE_CHECKING:
    from llm_gateway.services.base import Service, Stack

Found = tuple[str, str] | None
_DISK = 500_000_000  # bytes: logs, a dump before a migration, a growing database
_MEMORY = 1_500_000_000  # bytes: the native stack with two workers was measured at 1.0 to 1.3 GB
# facts/litellm.md section 2: two compromised releases, and the floor set by a remote code execution.
_DENIED = {(1, 82, 7), (1, 82, 8)}
_OLDEST = (1, 83, 10)


def permissions(stack: Stack) -> Found:
    """Secrets are readable by their owner only."""
    env = stack.home.env_file
    if env.exists() and env.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{env} can be read by other users.", f"chmod 600 {env}"
    if stack.home.state.exists() and not os.access(stack.home.state, os.W_OK):
        return f"{stack.home.state} cannot be written.", f"chown -R $(id -un) {stack.home.root}"
    return None


def disk(stack: Stack) -> Found:
    free = disk_free(stack.home.root)
    if free < _DISK:
        return f"Only {free // 1_000_000} MB are free for {stack.home.root}.", "Free some space, or move the home."
    return None


def memory(_stack: Stack) -> Found:
    limit = memory_limit()
    if limit < _MEMORY:
        return f"Only {limit // 1_000_000} MB of memory may be used.", "llm-gateway restart --workers 1"
    return None


def bytecode(_stack: Stack) -> Found:
    """Without byte code LiteLLM starts in twice the time and serves half (facts/performance.md)."""
    import importlib.util  # noqa: PLC0415 - only the doctor asks

    found = importlib.util.find_spec("litellm")
    if found is None or not found.submodule_search_locations:
        return None
    package = Path(next(iter(found.submodule_search_locations)))
    if not any((package / "__pycache__").glob(f"*.{sys.implementation.cache_tag}.pyc")):
        return (
            f"LiteLLM in {package} has no compiled byte code.",
            f"{sys.executable} -m compileall -q {package.parent}",
        )
    return None


def versions(_stack: Stack) -> Found:
    """Compromised or vulnerable LiteLLM releases."""
    version = metadata.version("litellm")
    return verdict(version)


def verdict(version: str) -> Found:
    """What is wrong with a LiteLLM version, None when nothing is known."""
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if parts in _DENIED:
        return (
            f"litellm {version} was published by an attacker (MAL-2026-2144).",
            "Delete the venv, rotate every key on this machine, then: scripts/start_llm_gateway.sh",
        )
    if parts < _OLDEST:
        return f"litellm {version} has a known remote code execution (CVE-2026-40217).", "scripts/start_llm_gateway.sh"
    return None


def proxies(_stack: Stack) -> Found:
    """A proxy without an exception for local services sends them its own error pages."""
    if not any(name in getproxies() for name in ("http", "https", "all")):
        return None
    missing = [host for host in ("localhost", "127.0.0.1") if not proxy_bypass(host)]
    if missing:
        return (
            f"A proxy is set, and NO_PROXY lacks {', '.join(missing)}: other programs would ask it for local services.",
            'export NO_PROXY="localhost,127.0.0.1,::1${NO_PROXY:+,$NO_PROXY}"',
        )
    return None


def engine(stack: Stack) -> Found:
    """The home's record says running, but nothing does."""
    from llm_gateway.engines.supervisor import Supervisor  # noqa: PLC0415 - psutil and RPC only here

    if stack.home.running_file.exists() and not Supervisor(stack.home).alive():
        return "The gateway was started here, but its process supervisor is gone.", "llm-gateway start"
    return None


def ports(stack: Stack) -> Found:
    """A wanted port is held by somebody else while the gateway does not run."""
    from llm_gateway.discovery import holders  # noqa: PLC0415

    if stack.home.running_file.exists():
        return None
    wanted = {stack.ports[port.setting] for service in native(stack) for port in service.ports}
    for port, holder in holders(wanted).items():
        return f"Port {port} is taken by {holder}.", "llm-gateway start --auto-ports"
    return None


def native(stack: Stack) -> list[Service]:
    """The services that this machine would run."""
    return [service for service in SERVICES if stack.placements[service.id].where == "native"]


CHECKS = (
    Check("D101", "Secrets are private and the home is writable", permissions),
    Check("D102", "There is disk space", disk),
    Check("D103", "There is memory", memory, severity="warning"),
    Check("D104", "LiteLLM is compiled to byte code", bytecode, severity="warning"),
    Check("D105", "LiteLLM's version is not known to be dangerous", versions),
    Check("D106", "A proxy is not asked for local services", proxies, severity="warning"),
    Check("D107", "What was started still runs", engine),
    Check("D108", "The ports are free", ports),
)
