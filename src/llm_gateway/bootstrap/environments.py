"""What an environment should be made from, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.requirements import requirements

if TYPE_CHECKING:
    from collections.abc import Iterable

STAMP = ".llm-gateway.json"
# What ends up in the kit's wheel, relative to the checkout.
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "devcontainer-feature.json", "src", "configs", "compose")


@dataclass(frozen=True, slots=True)
class Venv:
    """One environment as it should be.

    Args:
        name: `<home>/venvs/<name>`.
        requirements: the hash-locked file; `requirements/<name>.txt` of the package by default.
        kit: a checkout of the kit to install on top; None for none.
        editable: use the checkout's files in place instead of copies.
        path: a directory elsewhere.
    """

    name: str
    requirements: Path | None = None
    kit: Path | None = None
    editable: bool = False
    path: Path | None = None

    @property
    def lock_file(self) -> Path:
        return self.requirements or requirements(self.name)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an environment was made from. Written last, removed first."""

    python: str
    requirements: str
    kit: str

    @staticmethod
    def read(venv: Path) -> Stamp | None:
        try:
            return Stamp(**json.loads((venv / STAMP).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, venv: Path) -> None:
        unfinished = venv / f"{STAMP}.new"
        unfinished.write_text(json.dumps(asdict(self)) + "\n", "utf-8")
        unfinished.replace(venv / STAMP)


def checkout() -> Path | None:
    """The checkout this package runs from; None when it runs from an installed copy."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").is_file() and (root / "src/llm_gateway").is_dir() else None


def digest(paths: Iterable[Path]) -> str:
    """One hash over names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def kit_digest(kit: Path, *, editable: bool) -> str:
    """One hash over everything that the installed kit is made from."""
    if editable:
        return f"editable {kit} {digest([kit / 'pyproject.toml'])}"
    files = [
        path
        for source in _SOURCES
        for path in sorted([kit / source, *(kit / source).rglob("*")])
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return digest(files)
