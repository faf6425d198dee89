"""`llm-gateway verify` in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.home import Home


def verified(made: Home, *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """The outcomes by capability."""
    envelope = made.ask("verify", *arguments, code=code)
    assert "capabilities" in envelope["data"], envelope["errors"]
    return {outcome["capability"]: outcome for outcome in envelope["data"]["capabilities"]}
