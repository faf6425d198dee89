"""Presidio's place in the gateway's config: a LiteLLM guardrail that refuses what it cannot mask.

LiteLLM's own callback `presidio` lets text through unmasked when the analyzer answers with an error or something that
is not JSON; a guardrail with `pii_entities_config` refuses the request instead (LiteLLM 1.106.2, `analyze_text` in
`proxy/guardrails/guardrail_hooks/presidio.py`; it has no parameter that turns that off). So the kit writes the
guardrail, and replaces the callback by it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_gateway import masking
from llm_gateway.model_config.sections import section
from llm_gateway.services.base import Setting
from llm_gateway.services.callbacks import SECTION, named, without

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_gateway.choices import Choices
    from llm_gateway.services.base import Stack

_GUARDRAIL = "llm-gateway-presidio"
_OPEN = (
    "the callback lets text through unmasked when the analyzer answers with an error, the guardrail refuses the "
    "request (--as-is keeps the callback)"
)


def guardrail(
    choices: Choices, *, language: str = "", said: Mapping[str, Any] | None = None, ad_hoc: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A member of `guardrails:` that masks every request, or refuses it.

    Args:
        choices: `presidioEntities` says what is masked, `presidioScope` whether answers are, too.
        language: of the texts; by default the first of `presidioLanguages`.
        said: parameters that a person gave; they win.
        ad_hoc: entities that recognizers of the person's own find.
    """
    params = dict(said or {})
    first = next(iter(masking.languages(choices.text("presidioLanguages"))))
    language = language or str(params.get("presidio_language") or first)
    entities = masking.entities(choices.text("presidioEntities"), language) | dict.fromkeys(ad_hoc, "MASK")
    return {
        "guardrail_name": _GUARDRAIL if language == first else f"{_GUARDRAIL}-{language}",
        "litellm_params": {
            "guardrail": "presidio",
            "mode": "pre_call",
            "default_on": True,
            "presidio_filter_scope": "both" if choices.text("presidioScope") == "both" else "input",
            **({} if language == "en" else {"presidio_language": language}),
            **params,
            # Never empty: without it LiteLLM lets text through when the analyzer's answer cannot be used.
            "pii_entities_config": params.get("pii_entities_config") or entities,
        },
    }


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """A guardrail for every request, where Presidio runs or the file names LiteLLM's callback.

    The latter also where no Presidio is known: then requests fail, as the person who asked for masking must want.
    """
    present = [params for params in _guardrails(config) if params.get("guardrail") == "presidio"]
    if any(callback == "presidio" for _, callback in named(config)):
        safe = any(_is_safe(params) for params in present)
        reason = f"the guardrail {'that is there' if safe else _GUARDRAIL} does its work; {_OPEN}"
        added = () if safe else _wired(_instead_of_callback(stack, config), reason)
        return (*without(config, "presidio", reason=reason), *added)
    if stack.runs("presidio") and not present:
        return _wired(_of_each_language(stack, {}), "enablePresidio: personal data is masked in every request")
    return ()


def _of_each_language(stack: Stack, said: Mapping[str, Any], *, ad_hoc: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One for each language, since LiteLLM asks the analyzer for one only; a language that a person gave is the one."""
    languages = [""] if said.get("presidio_language") else masking.languages(stack.choices.text("presidioLanguages"))
    return [guardrail(stack.choices, language=language, said=said, ad_hoc=ad_hoc) for language in languages]


def _wired(guardrails: list[dict[str, Any]], reason: str) -> tuple[Setting, ...]:
    return tuple(Setting(("guardrails",), value, reason, "append") for value in guardrails)


def _guardrails(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parameters of every guardrail of the config."""
    entries = config.get("guardrails")
    found = [e.get("litellm_params") for e in (entries if isinstance(entries, list) else ()) if isinstance(e, dict)]
    return [params for params in found if isinstance(params, dict)]


def _is_safe(params: Mapping[str, Any]) -> bool:
    """Does this guardrail mask every request, and refuse what it cannot mask?"""
    mode = params.get("mode")
    modes = mode if isinstance(mode, list) else [mode]
    return "pre_call" in modes and params.get("default_on") is True and bool(params.get("pii_entities_config"))


def _instead_of_callback(stack: Stack, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The callback's job as guardrails, with what `callback_settings` and `litellm_settings` say to the callback.

    The callback masks requests, not answers, as long as nobody says otherwise; so does this.
    """
    params = dict(section(section(config, "callback_settings"), "presidio"))
    settings = section(config, SECTION)
    if params.pop("logging_only", settings.get("presidio_logging_only")):
        params["mode"] = "logging_only"
    if settings.get("output_parse_pii") is True:
        params.setdefault("output_parse_pii", True)
    if params.pop("apply_to_output", False):
        params["presidio_filter_scope"] = "both"
    recognizers = stack.config.parent / str(params.get("presidio_ad_hoc_recognizers") or "")
    if recognizers.is_file():
        params["presidio_ad_hoc_recognizers"] = str(recognizers)
    return _of_each_language(stack, params, ad_hoc=_ad_hoc(recognizers))


def _ad_hoc(path: Path) -> tuple[str, ...]:
    """The entities that a file of ad-hoc recognizers adds; LiteLLM itself says what is wrong with a bad file."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ()
    members = entries if isinstance(entries, list) else []
    found = [entry.get("supported_entity") for entry in members if isinstance(entry, dict)]
    return tuple(str(entity) for entity in found if entity)


def unused(_stack: Stack, config: Mapping[str, Any]) -> str:
    """What to say when Presidio runs and this config does not use it."""
    present = any(params.get("guardrail") == "presidio" for params in _guardrails(config))
    if present or any(callback == "presidio" for _, callback in named(config)):
        return ""
    return (
        "Presidio is enabled, but the config does not use it: no guardrail names presidio. "
        "Add one, or leave out --as-is, or: --no-enable-presidio."
    )
