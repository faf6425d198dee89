"""The sections of a config as mappings, whatever stands there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping at `name`; empty when there is none, or something else: LiteLLM, or the lint, has its say."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}
