"""The callbacks that a config names, and taking one out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.model_config.lint.document import CALLBACK_LISTS
from llm_gateway.model_config.sections import section
from llm_gateway.services.base import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTION = "litellm_settings"


def named(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(list, callback) for every callback that the config names, as `("success_callback", "langfuse")`."""
    said = section(config, SECTION)
    found: list[tuple[str, str]] = []
    for name in CALLBACK_LISTS:
        value = said.get(name)
        members = value if isinstance(value, list) else [value]
        found += [(name, member) for member in members if isinstance(member, str)]
    return found


def without(config: Mapping[str, Any], callback: str, *, reason: str) -> tuple[Setting, ...]:
    """Take `callback` out of every list that names it; nothing when none does.

    A room that replaces LiteLLM's callback by one of its own declares these, and an `append` of its own beside them.
    """
    return tuple(
        Setting((SECTION, name), callback, reason, "remove")
        for name in dict.fromkeys(name for name, member in named(config) if member == callback)
    )
