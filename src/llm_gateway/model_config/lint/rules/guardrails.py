"""Presidio. Facts: seen with real analyzers behind LiteLLM 1.106.2."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.document import REFERENCE
from llm_gateway.model_config.lint.registry import Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node
    from llm_gateway.model_config.lint.findings import Position

_ROLES = {
    "presidio_analyzer_api_base": "PRESIDIO_ANALYZER_API_BASE",
    "presidio_anonymizer_api_base": "PRESIDIO_ANONYMIZER_API_BASE",
}
_OPEN = "When the analyzer answers with an error, LiteLLM forwards the text unmasked."


def _uses(document: Document) -> Iterator[tuple[Position, Node | None]]:
    """Where Presidio is switched on, and the parameters it has there."""
    entry = document.callback("presidio")
    if entry is not None:
        yield entry.node.at, None
    for guardrail in document.guardrails:
        params = guardrail.mapping("litellm_params")
        if params.text("guardrail") == "presidio":
            yield params.value["guardrail"].at, params


def _address(params: Node | None, key: str, document: Document, context: LintContext) -> tuple[str, Node | None]:
    """A Presidio address: its value as far as it is known, and its node when the config has it."""
    node = params.get(key) if params is not None else None
    node = node or document.section("environment_variables").get(_ROLES[key])
    if node is None:
        return context.value(_ROLES[key]), None
    text = str(node.value)
    return (context.value(text[len(REFERENCE) :]) if text.startswith(REFERENCE) else text), node


@rule("C085", "error", "Presidio without its addresses", why="The gateway does not start.", fatal=True)
def no_address(document: Document, context: LintContext) -> Iterable[Found]:
    for at, params in _uses(document):
        for key, variable in _ROLES.items():
            value, node = _address(params, key, document, context)
            if not value and node is None and not context.is_set(variable):
                yield Found(
                    at, f"Presidio is on, but {variable} is not set", f"Set {variable} in .env, or --enable-presidio."
                )


@rule(
    "C086",
    "error",
    "Presidio's addresses swapped",
    why="The analyzer's calls go to the anonymizer, and personal data passes unmasked.",
    fatal=True,
)
def swapped(document: Document, context: LintContext) -> Iterable[Found]:
    for at, params in _uses(document):
        analyzer, node = _address(params, "presidio_analyzer_api_base", document, context)
        anonymizer, _ = _address(params, "presidio_anonymizer_api_base", document, context)
        if "anonymizer" in analyzer.lower() or (
            "analyzer" in anonymizer.lower() and "anonymizer" not in anonymizer.lower()
        ):
            where = node.at if node is not None else at
            yield Found(where, "the analyzer's address names the anonymizer, or the other way round", "Swap the two.")
        elif "presidio" in context.enabled and _port(analyzer) == 5002 and _port(anonymizer) == 5001:
            where = node.at if node is not None else at
            message = "the analyzer is given port 5002 and the anonymizer 5001; here it is the other way round"
            yield Found(where, message, "Analyzer 5001, anonymizer 5002.", "warning")


@rule(
    "C087",
    "error",
    "a Presidio address with a path",
    why="LiteLLM adds /analyze and /anonymize itself; below another path they are not found.",
    fatal=True,
)
def with_path(document: Document, context: LintContext) -> Iterable[Found]:
    for at, params in _uses(document):
        for key, variable in _ROLES.items():
            value, node = _address(params, key, document, context)
            if _path(value) in {"/analyze", "/anonymize"}:
                yield Found(
                    node.at if node else at, f"{variable} ends in {_path(value)}", "Give only scheme, host and port."
                )
            elif _path(value):
                message = f"{variable} has a path"
                yield Found(
                    node.at if node else at,
                    message,
                    "Give only scheme, host and port, unless a proxy adds it.",
                    "warning",
                )


def _path(url: str) -> str:
    try:
        return urlsplit(url if "://" in url else f"http://{url}").path.rstrip("/")
    except ValueError:
        return ""


def _port(url: str) -> int | None:
    try:
        return urlsplit(url if "://" in url else f"http://{url}").port
    except ValueError:
        return None


@rule("C088", "warning", "Presidio as a callback", why=_OPEN)
def old_style(document: Document, _context: LintContext) -> Iterable[Found]:
    entry = document.callback("presidio")
    if entry is not None:
        fix = "Define it under guardrails, with default_on: true and pii_entities_config; that form refuses instead."
        yield Found(entry.node.at, "the callback presidio lets text pass when Presidio fails", fix)


@rule("C089", "warning", "a Presidio guardrail without pii_entities_config", why=_OPEN)
def fails_open(document: Document, _context: LintContext) -> Iterable[Found]:
    for at, params in _uses(document):
        if (
            params is not None
            and not params.mapping("pii_entities_config").value
            and params.get("output_parse_pii") is None
        ):
            fix = "Add pii_entities_config: {PERSON: MASK, EMAIL_ADDRESS: MASK, PHONE_NUMBER: MASK, …}"
            yield Found(at, "this guardrail lets text pass when Presidio fails", fix)


@rule(
    "C084",
    "info",
    "a guardrail that is off unless asked for",
    why="Without default_on it runs only for requests that name it.",
)
def not_default(document: Document, _context: LintContext) -> Iterable[Found]:
    used = {str(n.value) for model in document.models for n in model.params.list("guardrails")}
    for guardrail in document.guardrails:
        name = guardrail.text("guardrail_name")
        params = guardrail.mapping("litellm_params")
        if params.text("guardrail") == "presidio" and params.get("default_on") is None and name not in used:
            fix = "Add default_on: true, or default_on: false to say that it is meant."
            yield Found(guardrail.at, f"{name or 'this guardrail'} masks only requests that name it", fix)
