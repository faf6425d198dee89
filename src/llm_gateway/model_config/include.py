"""A config with everything that it includes, merged as LiteLLM does it.

LiteLLM 1.106.2 (`proxy/common_utils/config_includes.py`) joins lists and lets any other top-level value of an included
file replace the including file's as a whole. Settings that are only added to the including file would therefore be
lost where an included one has the same section; so the kit merges first, and adds to the result.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_gateway.errors import InputError
from llm_gateway.model_config.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping


def read(path: Path) -> dict[str, Any]:
    """The config in `path`, merged with its includes, without the key `include`.

    Raises:
        InputError: E120 to E122 for a file that is unusable, E123 for an `include` that is no list of files.
    """
    (_, config), *included = _load_all(path)
    merged = dict(config)
    for _, part in included:
        for name, value in part.items():
            mine = merged.get(name)
            merged[name] = [*mine, *value] if isinstance(mine, list) and isinstance(value, list) else value
    merged.pop("include", None)
    return merged


def files(path: Path) -> list[Path]:
    """The config and every file that it includes. Errors as `read`."""
    return [where for where, _ in _load_all(path)]


def _load_all(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Each file once with what it holds, in the order in which LiteLLM merges them."""
    found = {_absolute(path): load(path)}
    pending = [(entry, path) for entry in _entries(found[_absolute(path)], path)]
    while pending:
        entry, declared = pending.pop(0)
        where = _find(entry, declared, path)
        if where not in found:
            found[where] = load(where)
            pending += [(inner, where) for inner in _entries(found[where], where)]
    return list(found.items())


def anchor(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """Make the paths in `include` absolute: LiteLLM reads them against the file that it is given, our copy."""
    included = config.get("include")
    if not isinstance(included, list):
        return dict(config)
    return {**config, "include": [str(directory / str(name)) for name in included]}


def _entries(config: Mapping[str, Any], path: Path) -> list[str]:
    if "include" not in config:
        return []
    entries = config["include"]
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise InputError(
            "E123",
            f"{path}: `include` is not a list of file names.",
            cause="LiteLLM does not start with it.",
            next="Write: include: [models.yaml]",
        )
    return entries


def _find(entry: str, declared: Path, root: Path) -> Path:
    """Beside the file that names it; where there is none, beside the root config."""
    beside, beside_root = _absolute(declared.parent / entry), _absolute(root.parent / entry)
    return beside if beside.exists() or not beside_root.exists() else beside_root


def _absolute(path: Path) -> Path:
    """Without `..`, but through links as they stand: the identity that LiteLLM compares."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve follows links
