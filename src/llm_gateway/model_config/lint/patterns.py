"""Model names with wildcards."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(
        "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", pattern)), re.DOTALL
    )


def matches(pattern: str, name: str) -> bool:
    """Does `openai/*` stand for this name?"""
    return _compiled(pattern).fullmatch(name) is not None
