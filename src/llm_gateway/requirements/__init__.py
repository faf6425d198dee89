"""The hash-locked requirement files of each venv; `scripts/lock.sh` makes them."""

from __future__ import annotations

from pathlib import Path


def requirements(name: str) -> Path:
    """The locked requirements of the venv `name`: gateway, postgres, redis, node."""
    return Path(__file__).with_name(f"{name}.txt")
