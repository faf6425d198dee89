"""The models of a running gateway, as it describes them itself: those of the config and those added in the UI."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.rules.network import is_private
from llm_gateway.model_config.providers import known
from llm_gateway.names import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LOCAL_PROVIDERS = ("ollama/", "ollama_chat/", "vllm/", "hosted_vllm/", "lm_studio/", "llamafile/")
_PRICES = ("input_cost_per_token", "output_cost_per_token", "input_cost_per_second", "output_cost_per_image")


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    Attributes:
        name: what applications call it.
        mode: chat, embedding, …
        vision: does it take images?
        paid: does a call cost money, as far as one can tell?
        thinks: does it spend tokens on reasoning before it answers?
        by_pattern: only a pattern of the config, as `openai/*`, has it; no list of models names it.
    """

    name: str
    mode: str
    vision: bool
    paid: bool
    thinks: bool = False
    by_pattern: bool = False


def read(entries: Iterable[Mapping[str, Any]], *, named: Iterable[str] = ()) -> tuple[Model, ...]:
    """The models of `GET /v1/model/info` that can be asked by name, each name once, in the config's order.

    Args:
        entries: its `data`.
        named: names that a person asked for: they may be those of a pattern.
    """
    found: dict[str, Model] = {}
    patterns: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        name = str(entry.get("model_name") or "")
        params, info = entry.get("litellm_params") or {}, entry.get("model_info") or {}
        if "*" in name:
            patterns[name] = params
        elif name and name != PROBE:
            mode, sees, thinks = info.get("mode"), info.get("supports_vision"), info.get("supports_reasoning")
            model = Model(name, str(mode or "chat"), bool(sees), _paid(params, info), thinks=bool(thinks))
            found.setdefault(name, model)
    for name in named:
        params = next((params for pattern, params in patterns.items() if fnmatchcase(name, pattern)), None)
        if name not in found and params is not None:
            priced = known(name)
            mode = priced[1] if priced else "chat"
            found[name] = Model(name, mode, vision=False, paid=_paid(params, {}), by_pattern=True)
    return tuple(found.values())


def _paid(params: Mapping[str, Any], info: Mapping[str, Any]) -> bool:
    """Not when it is canned, free by its price, or on a machine of one's own without a price."""
    if params.get("mock_response") is not None:
        return False
    prices = [info[name] for name in _PRICES if info.get(name) is not None]
    if prices:
        return any(price > 0 for price in prices)
    host = urlsplit(str(params.get("api_base") or "")).hostname or ""
    return not (is_private(host) if host else str(params.get("model")).startswith(_LOCAL_PROVIDERS))
