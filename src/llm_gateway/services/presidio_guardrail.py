"""Presidio's place in the gateway's config: a LiteLLM guardrail that refuses what it cannot mask.

LiteLLM's own callback `presidio` lets text through unmasked when the analyzer answers with an error or something that
is not JSON; a guardrail with `pii_entities_config` refuses the request instead (LiteLLM 1.106.2, `analyze_text` in
`proxy/guardrails/guardrail_hooks/presidio.py`; it has no parameter that turns that off). So the kit writes the
guardrail, and replaces the callback by it. For `presidioOnFailure=pass` it is a guardrail of the kit's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llm_gateway import masking
from llm_gateway.model_config.sections import section
from llm_gateway.names import VERIFY
from llm_gateway.services.base import Setting
from llm_gateway.services.callbacks import SECTION, named, without

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from llm_gateway.choices import Choices
    from llm_gateway.services.base import Stack

_GUARDRAIL = "llm-gateway-presidio"
_PASSING = "llm_gateway.hooks.presidio_pass.MaskOrPass"  # a class, as LiteLLM takes it for a guardrail
_KINDS = {"presidio", _PASSING}
# A copy of the guardrail that asks the anonymizer to analyze, for requests that name it: `verify` shows on it what
# happens when Presidio fails.
SWAPPED = f"{VERIFY}-swapped"
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
            "guardrail": _PASSING if passes(choices) else "presidio",
            "mode": "pre_call",
            "default_on": True,
            "presidio_filter_scope": "both" if choices.text("presidioScope") == "both" else "input",
            **({} if language == "en" else {"presidio_language": language}),
            **params,
            # Never empty: without it LiteLLM lets text through when the analyzer's answer cannot be used.
            "pii_entities_config": params.get("pii_entities_config") or entities,
        },
    }


def passes(choices: Choices) -> bool:
    """Does a text go out unmasked when Presidio fails?"""
    return choices.text("presidioOnFailure") == "pass"


def gateway_settings(stack: Stack, config: Mapping[str, Any]) -> tuple[Setting, ...]:
    """A guardrail for every request, where Presidio runs or the file names LiteLLM's callback.

    The latter also where no Presidio is known: then requests fail, as the person who asked for masking must want.
    """
    present = guardrails(config)
    removed: tuple[Setting, ...] = ()
    wanted: list[dict[str, Any]] = []
    reason = "enablePresidio: personal data is masked in every request"
    if any(callback == "presidio" for _, callback in named(config)):
        safe = any(_is_safe(params) for params in present)
        reason = f"the guardrail {'that is there' if safe else _GUARDRAIL} does its work; {_OPEN}"
        removed = without(config, "presidio", reason=reason)
        wanted = [] if safe else _instead_of_callback(stack, config)
    elif stack.runs("presidio") and not present:
        wanted = _of_each_language(stack, {})
    masking_ones = sorted(filter(masks, (*present, *(one["litellm_params"] for one in wanted))), key=_is_safe)
    reason_of_copy = "llm-gateway verify shows on it what a failing Presidio means"
    copies = _wired([_swapped(params) for params in masking_ones[-1:]], reason_of_copy)
    return (*removed, *_wired(wanted, reason), *copies)


def _swapped(params: Mapping[str, Any]) -> dict[str, Any]:
    """See SWAPPED."""
    other = params.get("presidio_anonymizer_api_base") or "os.environ/PRESIDIO_ANONYMIZER_API_BASE"
    changed = {"default_on": False, "presidio_analyzer_api_base": other}
    return {"guardrail_name": SWAPPED, "litellm_params": {**params, **changed}}


def _of_each_language(stack: Stack, said: Mapping[str, Any], *, ad_hoc: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One for each language, since LiteLLM asks the analyzer for one only; a language that a person gave is the one."""
    languages = [""] if said.get("presidio_language") else masking.languages(stack.choices.text("presidioLanguages"))
    return [guardrail(stack.choices, language=language, said=said, ad_hoc=ad_hoc) for language in languages]


def _wired(guardrails: list[dict[str, Any]], reason: str) -> tuple[Setting, ...]:
    return tuple(Setting(("guardrails",), value, reason, "append") for value in guardrails)


def guardrails(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parameters of Presidio's guardrails in a config, without the copy for `verify`."""
    entries = config.get("guardrails")
    known = [entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict)]
    found = [entry.get("litellm_params") for entry in known if entry.get("guardrail_name") != SWAPPED]
    return [params for params in found if isinstance(params, dict) and params.get("guardrail") in _KINDS]


def swapped(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The parameters of SWAPPED, where the config has it."""
    entries = config.get("guardrails") or []
    return next((entry["litellm_params"] for entry in entries if entry.get("guardrail_name") == SWAPPED), None)


def is_passing(params: Mapping[str, Any]) -> bool:
    """Does this guardrail let text pass when Presidio fails?"""
    return params.get("guardrail") == _PASSING


def masks(params: Mapping[str, Any]) -> bool:
    """Does a guardrail mask requests, before they leave?"""
    mode = params.get("mode")
    return "pre_call" in (mode if isinstance(mode, list) else [mode])


def _is_safe(params: Mapping[str, Any]) -> bool:
    """Does this guardrail mask every request, and refuse what it cannot mask?"""
    return masks(params) and params.get("default_on") is True and bool(params.get("pii_entities_config"))


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
    if guardrails(config) or any(callback == "presidio" for _, callback in named(config)):
        return ""
    return (
        "Presidio is enabled, but the config does not use it: no guardrail names presidio. "
        "Add one, or leave out --as-is, or: --no-enable-presidio."
    )


def caution(stack: Stack, config: Mapping[str, Any]) -> str:
    """What `presidioOnFailure=pass` means, at each start."""
    if not passes(stack.choices) or not guardrails(config):
        return ""
    if not any(map(is_passing, guardrails(config))):
        return "presidioOnFailure is pass, but has no effect: the config has a guardrail for Presidio of its own."
    return (
        "While Presidio fails, texts go to the providers UNMASKED, with a line in the log: presidioOnFailure is pass. "
        "To refuse them: llm-gateway restart --presidio-on-failure refuse"
    )
