"""Presidio: masking of personal data. This version runs no Presidio; it uses the one that the person names.

LiteLLM's own callback `presidio` lets text through unmasked when the analyzer answers with an error or something that
is not JSON; a guardrail with `pii_entities_config` refuses the request instead (facts/presidio.md section 7). So the
kit writes the guardrail, and replaces the callback by it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_gateway.dotenv import Line
from llm_gateway.services.base import Placement, Service, Setting
from llm_gateway.services.callbacks import SECTION, named, without

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_gateway.services.base import Draft, Stack

_BASES = ("PRESIDIO_ANALYZER_API_BASE", "PRESIDIO_ANONYMIZER_API_BASE")
_GUARDRAIL = "llm-gateway-presidio"
# What the analyzer 2.2.366 looks for by itself, in English text; a guardrail looks for nothing but what it names.
_ENTITIES = (
    *("CREDIT_CARD", "CRYPTO", "DATE_TIME", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "LOCATION", "MAC_ADDRESS"),
    *("MEDICAL_LICENSE", "NRP", "PERSON", "PHONE_NUMBER", "UK_NHS", "URL", "US_BANK_NUMBER", "US_DRIVER_LICENSE"),
    *("US_ITIN", "US_PASSPORT", "US_SSN", "UUID"),
)
# … and besides in other languages.
_ENTITIES_OF = {
    "es": ("ES_NIF", "ES_NIE"),
    "it": ("IT_DRIVER_LICENSE", "IT_FISCAL_CODE", "IT_IDENTITY_CARD", "IT_PASSPORT", "IT_VAT_CODE"),
    "pl": ("PL_PESEL",),
}
_OPEN = (
    "the callback lets text through unmasked when the analyzer answers with an error, the guardrail refuses the "
    "request (--as-is keeps the callback)"
)


def place(draft: Draft) -> Placement:
    """External when the person names both parts."""
    if not draft.choices.flag("enablePresidio"):
        return Placement("off", "Switched off.")
    named_by_person = [name for name in _BASES if draft.environment.get(name) and not draft.rendered(name)]
    if len(named_by_person) == len(_BASES):
        analyzer, anonymizer = (draft.environment.get(name) for name in _BASES)
        return Placement("external", f"The variables name {analyzer} and {anonymizer}.")
    return Placement(
        "unavailable",
        "This version cannot run Presidio yet.",
        next=f"Name an existing one by {' and '.join(_BASES)} in .env, or leave enablePresidio off.",
    )


def environment(_draft: Draft) -> tuple[Line, ...]:
    """Seed 004's two variables."""
    return (
        Line(_BASES[0], "http://localhost:5001", "Presidio analyzer: finds personal data."),
        Line(_BASES[1], "http://localhost:5002", "Presidio anonymizer: masks what was found."),
    )


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """A guardrail for every request, where Presidio runs or the file names LiteLLM's callback.

    The latter also where no Presidio is known: then requests fail, as the person who asked for masking must want.
    """
    guardrails = [params for params in _guardrails(config) if params.get("guardrail") == "presidio"]
    if any(callback == "presidio" for _, callback in named(config)):
        safe = any(_is_safe(params) for params in guardrails)
        reason = f"the guardrail {'that is there' if safe else _GUARDRAIL} does its work; {_OPEN}"
        added = () if safe else (_wired(stack, config, reason),)
        return (*without(config, "presidio", reason=reason), *added)
    if stack.runs("presidio") and not guardrails:
        return (_wired(stack, config, "enablePresidio: personal data is masked in every request"),)
    return ()


def _wired(stack: Stack, config: Mapping[str, Any], reason: str) -> Setting:
    return Setting(("guardrails",), _guardrail(config, stack.config.parent), reason, "append")


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


def _guardrail(config: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The callback's job as a guardrail, with what `callback_settings` and `litellm_settings` say to the callback.

    The callback masks requests, not answers; so does this.
    """
    said = config.get("callback_settings")
    own = said.get("presidio") if isinstance(said, dict) else None
    params = dict(own) if isinstance(own, dict) else {}
    section = config.get(SECTION)
    settings = section if isinstance(section, dict) else {}
    logging_only = params.pop("logging_only", settings.get("presidio_logging_only"))
    if settings.get("output_parse_pii") is True:
        params.setdefault("output_parse_pii", True)
    scope = "both" if params.pop("apply_to_output", False) else "input"
    recognizers = directory / str(params.get("presidio_ad_hoc_recognizers") or "")
    if recognizers.is_file():
        params["presidio_ad_hoc_recognizers"] = str(recognizers)
    entities = (*_ENTITIES, *_ENTITIES_OF.get(str(params.get("presidio_language")), ()), *_ad_hoc(recognizers))
    return {
        "guardrail_name": _GUARDRAIL,
        "litellm_params": {
            "guardrail": "presidio",
            "mode": "logging_only" if logging_only else "pre_call",
            "default_on": True,
            "presidio_filter_scope": scope,
            **params,
            "pii_entities_config": params.get("pii_entities_config") or dict.fromkeys(entities, "MASK"),
        },
    }


def _ad_hoc(path: Path) -> tuple[str, ...]:
    """The entities that a file of ad-hoc recognizers adds; LiteLLM itself says what is wrong with a bad file."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    found = [entry.get("supported_entity") for entry in entries if isinstance(entry, dict)]
    return tuple(str(entity) for entity in found if entity)


def unused(_stack: Stack, config: Mapping[str, Any]) -> str:
    guardrail = any(params.get("guardrail") == "presidio" for params in _guardrails(config))
    if guardrail or any(callback == "presidio" for _, callback in named(config)):
        return ""
    return (
        "Presidio is enabled, but the config does not use it: no guardrail names presidio. "
        "Add one, or leave out --as-is, or: --no-enable-presidio."
    )


PRESIDIO = Service(
    id="presidio",
    title="Presidio",
    place=place,
    environment=environment,
    gateway_settings=gateway_settings,
    unused=unused,
)
