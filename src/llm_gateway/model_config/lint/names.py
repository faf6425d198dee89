"""Did you mean …?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def close(name: str, known: Collection[str], *, cutoff: float = 0.8) -> str:
    """The known name that `name` was probably meant to be, "" when none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 - only when something is unknown

    plain = {other.lower().replace("-", "_"): other for other in sorted(known)}
    wanted = name.lower().replace("-", "_")
    if wanted in plain:
        return plain[wanted]
    found = get_close_matches(wanted, plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else ""


def meant(name: str, known: Collection[str], *, cutoff: float = 0.7) -> str:
    """`Did you mean x?`, else an empty string."""
    found = close(name, known, cutoff=cutoff)
    return f"Did you mean {found}?" if found else ""
