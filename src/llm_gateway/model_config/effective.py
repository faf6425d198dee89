"""The effective config: the person's file plus what the enabled services need. The file itself is never changed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from llm_gateway.services.base import Setting


def complete(config: Mapping[str, Any], settings: Iterable[Setting]) -> tuple[dict[str, Any], list[Setting]]:
    """Add each setting that the config does not have.

    Returns:
        The completed config and the settings that were really added.
    """
    effective, added = copy.deepcopy(dict(config)), []
    for setting in settings:
        node: Any = effective
        for name in setting.path[:-1]:
            if node.get(name) is None:
                node[name] = {}
            node = node[name]
            if not isinstance(node, dict):
                break
        if isinstance(node, dict) and setting.path[-1] not in node:
            node[setting.path[-1]] = setting.value
            added.append(setting)
    return effective, added


def anchor(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Make the paths in `include` absolute: LiteLLM reads them against the file that it is given, our copy."""
    included = config.get("include")
    if not isinstance(included, list):
        return dict(config)
    return {**config, "include": [str(directory / str(name)) for name in included]}


def render(effective: Mapping[str, Any], *, source: str) -> str:
    """The effective config as YAML, with a line that says what it is."""
    head = f"# Effective config, made by llm-gateway from {source} at each start. Edit that file, not this one.\n"
    return head + yaml.safe_dump(dict(effective), sort_keys=False, allow_unicode=True, width=120)
