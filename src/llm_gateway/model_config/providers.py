"""What LiteLLM would make of a model's name: provider, mode, price. From the snapshot, without LiteLLM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.schema import known_models, schema

if TYPE_CHECKING:
    from llm_gateway.model_config.lint.document import Model

_PRICES = ("input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "output_cost_per_image",
           "input_cost_per_character", "cost_per_query", "input_cost_per_request", "input_cost_per_pixel",
           "output_cost_per_second", "input_cost_per_query")  # fmt: skip
_FAMILIES = (
    ("vertex_ai", "vertex_ai"),
    ("bedrock", "bedrock"),
    ("text-completion", "openai"),
    ("fireworks_ai", "fireworks_ai"),
)


def provider_of(model: Model) -> str:
    """The provider that answers, "" when LiteLLM could not tell."""
    if model.provider in schema()["providers"]:
        return model.provider
    entry = known_models().get(model.target)
    if entry:
        return next((family for start, family in _FAMILIES if entry[0].startswith(start)), entry[0])
    return "openai" if model.target.startswith("ft:gpt-") else ""


def mode_of(model: Model) -> str:
    """chat, embedding, …: what model_info says, else what the price table knows, else ""."""
    priced = known(model.target)
    return model.info.text("mode") or (priced[1] if priced else "")


def is_priced(model: Model) -> bool:
    """Does LiteLLM know what a call costs?"""
    if any(model.info.get(name) is not None or model.params.get(name) is not None for name in _PRICES):
        return True
    priced = known(model.info.text("base_model")) or known(model.target)
    return bool(priced and priced[2])


def known(target: str) -> tuple[str, str, bool] | None:
    """Provider, mode, and whether there is a price; the table knows names with and without the provider in front."""
    table = known_models()
    while target:
        if target in table:
            return table[target]
        _, slash, target = target.partition("/")
        if not slash:
            break
    return None
