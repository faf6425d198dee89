"""What rules may know besides the config: variables, choices and installed packages. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Packages whose presence or version decides whether a config works.
PACKAGES = (
    "litellm", "langfuse", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "prometheus-client",
    "redisvl", "redis", "diskcache", "boto3", "sentry-sdk", "langsmith", "mlflow", "wandb", "lunary", "traceloop-sdk",
    "logfire",
)  # fmt: skip
# What `start` itself puts into `.env` for the services that it runs; a test compares it with the services' own lines.
PROVIDED = {
    "gateway": ("LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "LLM_GATEWAY_VIRTUAL_KEY"),
    "postgres": ("DATABASE_URL",),
    "redis": ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"),
    "langfuse": ("LANGFUSE_HOST",),
    "presidio": ("PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE"),
}


@dataclass(frozen=True, slots=True)
class LintContext:
    """The situation in which a config would run. The default is a bare LiteLLM about which nothing is known.

    Attributes:
        variables: process variables and `.env`; an empty value means that `.env` names the variable. Never echoed.
        enabled: services that are switched on, `gateway` among them; what `start` provides for them counts as set.
        start_with_defaults: the option of that name.
        loopback: can only this machine reach the gateway?
        container: will the gateway run in a container?
        database: will there be a database? None: not known.
        search: has the Redis that llm-gateway runs a search module?
        packages: name → version of what is installed; None: not known, so rules about packages are silent.
        proxies: scheme → proxy, as urllib.request.getproxies() gives them; `no` holds the exceptions.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    enabled: frozenset[str] = frozenset()
    start_with_defaults: bool = False
    loopback: bool = True
    container: bool = False
    database: bool | None = None
    search: bool = False
    packages: Mapping[str, str] | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def provided(self) -> frozenset[str]:
        """Variables that `start` will set."""
        return frozenset(name for service in self.enabled for name in PROVIDED.get(service, ()))

    def value(self, name: str) -> str:
        """The variable's value, "" when it is unset or empty. For comparing, never for showing."""
        return self.variables.get(name, "")

    def is_set(self, name: str) -> bool:
        """Has the variable a value, or will `start` give it one?"""
        return bool(self.variables.get(name)) or name in self.provided

    def is_named(self, name: str) -> bool:
        """Does the variable exist at all, be it empty?"""
        return name in self.variables or name in self.provided

    def installed(self, name: str) -> bool | None:
        """Is the package there? None when nobody knows."""
        return None if self.packages is None else name in self.packages
