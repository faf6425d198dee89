"""The options: `devcontainer-feature.json` is the one list of them."""

from __future__ import annotations

import json
from functools import cache

from llm_gateway.choices import Choice
from llm_gateway.resources import resource


@cache
def options() -> tuple[Choice, ...]:
    """Every option of the Feature, in the file's order."""
    feature = json.loads(resource("devcontainer-feature.json").read_text(encoding="utf-8"))
    return tuple(
        Choice(
            id=id_,
            kind=entry["type"],
            default=entry["default"],
            description=entry["description"],
            allowed=tuple(entry.get("enum", ())),
        )
        for id_, entry in feature["options"].items()
    )
