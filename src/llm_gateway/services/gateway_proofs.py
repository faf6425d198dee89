"""The gateway's room at `verify`: which of its capabilities are shown with which stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.proofs import budgets, keys, limits, models, restart, spend
from llm_gateway.services.base import Absent, Proof
from llm_gateway.services.probe_model import without_probe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from llm_gateway.services.base import Stack


def always(_stack: Stack, _config: Mapping[str, Any]) -> Absent | None:
    """Shown with every stack."""
    return None


def without_database(stack: Stack, config: Mapping[str, Any]) -> Absent | None:
    """Not shown without virtual keys, nor without the probe."""
    if not stack.runs("postgres"):
        return Absent("off", "Without a database there is only the master key.")
    return without_probe(stack, config)


def _calls(capability: str, title: str) -> Proof:
    return Proof(capability, title, always, models.proving(capability))


_TITLES: dict[str, str] = {
    "chat": "a chat completion, with its usage",
    "stream": "a streamed chat completion, with its usage",
    "completions": "a text completion",
    "embeddings": "a vector",
    "vision": "a chat completion about an image",
}
_KEEPS: tuple[tuple[str, str, Callable[..., Any], bool], ...] = (
    ("keys", "a key works, only for its models, until it is revoked", keys.prove, False),
    ("budgets", "keys, customers and calls at once are held to their budget", budgets.prove, False),
    ("limits", "calls and tokens per minute end with 429", limits.prove, False),
    ("spend", "what calls cost is on key, user, customer and in the logs", spend.prove, False),
    ("restart", "keys, spend and cache outlive the gateway's process", restart.prove, True),
)

GATEWAY_PROOFS = (
    *(_calls(capability, title) for capability, title in _TITLES.items()),
    Proof("models", "the list of models", always, models.listed),
    *(Proof(name, title, without_database, prove, deep=deep) for name, title, prove, deep in _KEEPS),
)
