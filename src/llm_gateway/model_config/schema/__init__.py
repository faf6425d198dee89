"""What a LiteLLM config may hold, at the pinned version: files that scripts/snapshot_schema.py writes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@cache
def schema() -> dict[str, Any]:
    """Sections, keys with their types, callbacks, cache and guardrail names; `litellm` is the version."""
    value: dict[str, Any] = json.loads((_FOLDER / "litellm.json").read_text(encoding="utf-8"))
    return value


@cache
def known_models() -> dict[str, tuple[str, str, bool]]:
    """Every model name of LiteLLM's price table: name → (provider, mode, has a price)."""
    tables = json.loads((_FOLDER / "models.json").read_text(encoding="utf-8"))
    return {
        name: (provider, mode, has_price)
        for table, has_price in (("unpriced", False), ("priced", True))
        for provider, modes in tables[table].items()
        for mode, names in modes.items()
        for name in names
    }
