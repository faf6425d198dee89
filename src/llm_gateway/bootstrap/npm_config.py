"""What npm on this machine is configured with: `npm_config_*` variables and the .npmrc files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\{(\w+)\??\}")


def read_npm_config(environ: Mapping[str, str]) -> dict[str, str]:
    """The options of npm by name (`registry`, `cafile`, `https-proxy`, …); later sources win, variables last.

    The project's .npmrc is left out: the kit runs npm in a folder of its own.
    """
    found: dict[str, str] = {}
    for path in _files(environ):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found.update(_parse(text, environ))
    for name, value in environ.items():
        if name.lower().startswith("npm_config_") and value:
            found[_name(name[len("npm_config_") :])] = value
    return found


def _files(environ: Mapping[str, str]) -> list[Path]:
    variables = {name.lower(): value for name, value in environ.items()}
    files = []
    node = shutil.which("node", path=environ.get("PATH"))
    if node:
        # npm's default prefix is the folder above node's own bin.
        files.append(Path(node).resolve().parent.parent / "etc/npmrc")
        files.append(Path(node).parent.parent / "etc/npmrc")
    if variables.get("npm_config_globalconfig"):
        files.append(Path(variables["npm_config_globalconfig"]))
    home = Path(environ.get("HOME") or Path.home())
    files.append(Path(variables.get("npm_config_userconfig") or home / ".npmrc"))
    return files


def _parse(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "#;[" or "=" not in line:
            continue
        key, value = (part.strip() for part in line.split("=", 1))
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[_name(key)] = _REFERENCE.sub(lambda name: environ.get(name[1], ""), value)
    return found


def _name(raw: str) -> str:
    # `//host/:_authToken` keeps its spelling; plain options are written with - or _.
    return raw if raw.startswith(("//", "@", "_")) else raw.lower().replace("_", "-")
