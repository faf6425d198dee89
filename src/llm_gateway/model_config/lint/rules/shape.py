"""Types, required fields, and values from a fixed list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.document import REFERENCE
from llm_gateway.model_config.lint.findings import Edit
from llm_gateway.model_config.lint.names import meant
from llm_gateway.model_config.lint.registry import Found, rule
from llm_gateway.model_config.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node
    from llm_gateway.model_config.lint.findings import Severity

_KINDS = {"mapping": "object", "sequence": "array"}
_WORDS = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
          "boolean": "true or false"}  # fmt: skip
_LIST_SECTIONS = ("model_list", "guardrails", "credential_list", "search_tools", "prompts", "policy_attachments")
_MAPPING_SECTIONS = ("litellm_settings", "general_settings", "router_settings", "environment_variables", "mcp_servers",
                     "callback_settings")  # fmt: skip
_IGNORED_SECTIONS = ("router_settings", "callback_settings", "prompts", "policy_attachments")  # LiteLLM comes up
# load_config iterates over these without looking first.
_NO_NULL = ("callbacks", "success_callback", "failure_callback", "audit_log_callbacks")
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_MODES = {"chat", "completion", "embedding", "image_generation", "image_edit", "audio_transcription", "audio_speech",
          "moderation", "rerank", "responses", "realtime", "batch", "search", "ocr", "video_generation", "vector_store",
          "evaluation"}  # fmt: skip


def _fits(node: Node, types: Sequence[str]) -> bool:
    """Would pydantic take the value? Numbers in quotes, switches as words and references are fine."""
    if not types or node.kind == "null" or (node.kind == "string" and node.value.startswith(REFERENCE)):
        return True
    kind = _KINDS.get(node.kind, node.kind)
    if kind in types or (kind == "integer" and "number" in types):
        return True
    text = str(node.value).strip()
    if "boolean" in types:
        return text.lower() in {"true", "false", "yes", "no", "on", "off", "1", "0", "1.0", "0.0"}
    if "integer" in types or "number" in types:
        return _is_number(text, whole="number" not in types)
    return False


def _is_number(text: str, *, whole: bool) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return not whole or value.is_integer()


def _named(node: Node) -> str:
    return _WORDS.get(_KINDS.get(node.kind, node.kind), f"a {node.kind}")


def _expected(types: Sequence[str]) -> str:
    return " or ".join(_WORDS[kind] for kind in types if kind in _WORDS)


def _typed(node: Node, types: Mapping[str, Sequence[str]], where: str) -> Iterator[tuple[str, Node, str, str]]:
    for name, child in node.items():
        expected = types.get(name, ())
        if not _fits(child, expected):
            yield name, child, f"{where}{name} is {_named(child)}, not {_expected(expected)}", _expected(expected)


@rule(
    "C026",
    "warning",
    "a value of the wrong type",
    why="LiteLLM stops on it, drops the deployment, or behaves in a way nobody asked for.",
)
def wrong_type(document: Document, _context: LintContext) -> Iterable[Found]:
    yield from _sections(document)
    known = schema()
    for section in ("general_settings", "litellm_settings", "router_settings"):
        for name, child, message, expected in _typed(document.section(section), known[section], f"{section}."):
            fatal = (section, name) in _FATAL or (section == "litellm_settings" and name in _NO_NULL)
            edits: tuple[Edit, ...] = ()
            if name == "callbacks" and child.kind == "string" and "." in child.value:
                continue  # one object of the person's own may stand without a list
            if name.endswith(("callback", "callbacks")) and child.kind == "string":
                edits = (Edit("set", (*document.section(section).path, name), [child.value]),)
            severity: Severity | None = "error" if fatal or edits else None
            yield Found(child.at, message, f"Write {expected}.", severity, edits, fatal=fatal)
    for model in document.models:
        for name, child, message, expected in _typed(model.params, known["litellm_params"], "litellm_params."):
            quote = child.kind == "date" or (expected == "text" and child.kind in {"integer", "number"})
            edits = (Edit("set", (*model.params.path, name), str(child.value)),) if quote else ()
            fix = "Put quotes around it." if quote else f"Write {expected}."
            # Without a name to look at, LiteLLM stops before it could drop the deployment.
            stops = name == "model"
            then = "LiteLLM stops on it" if stops else f"LiteLLM drops {model.shown}"
            yield Found(child.at, f"{message}; {then}", fix, "error", edits, fatal=stops)
        for _, child, message, expected in _typed(model.info, known["model_info"], "model_info."):
            yield Found(child.at, f"{message}; LiteLLM drops {model.shown}", f"Write {expected}.", "error")


_FATAL = {
    ("general_settings", "master_key"),
    ("litellm_settings", "max_budget"),
    ("router_settings", "model_group_alias"),
    *((section, name) for section in ("litellm_settings", "router_settings") for name in _FALLBACKS),
}


def _sections(document: Document) -> Iterator[Found]:
    for names, kind, wanted, fix in (
        (_LIST_SECTIONS, "sequence", "a list", "Begin each entry with `- `."),
        (_MAPPING_SECTIONS, "mapping", "a mapping", "Write `key: value` lines."),
    ):
        for name in names:
            section = document.root.get(name)
            if section is not None and section.kind != kind:
                message = f"{name} is {_named(section)}, not {wanted}"
                yield Found(section.at, message, fix, "error", fatal=name not in _IGNORED_SECTIONS)
    for index, entry in enumerate(document.root.list("model_list")):
        if entry.kind != "mapping":
            message = f"model_list[{index}] is {_named(entry)}, not a mapping"
            yield Found(entry.at, message, "Give it model_name and litellm_params.", "error", fatal=True)
            continue
        for name in ("litellm_params", "model_info"):
            child = entry.get(name)
            if child is not None and child.kind != "mapping":
                message = f"{name} is {_named(child)}, not a mapping"
                yield Found(child.at, message, "Write `key: value` lines.", "error", fatal=True)
    yield from _fallback_entries(document)


def _fallback_entries(document: Document) -> Iterator[Found]:
    for section in ("litellm_settings", "router_settings"):
        for name in _FALLBACKS:
            for entry in document.section(section).list(name):
                if entry.kind != "mapping" or len(entry.value) != 1:
                    fix = "Write one `- model: [other, …]` line for each model."
                    message = f"an entry of {name} must map one model to its fallbacks"
                    yield Found(entry.at, message, fix, "error", fatal=True)


@rule(
    "C068",
    "error",
    "a timeout that is no number",
    why="LiteLLM takes the word as it is, and each call that it is for is answered with 500.",
)
def timeout_word(document: Document, _context: LintContext) -> Iterable[Found]:
    places = [(document.section("litellm_settings"), "request_timeout", True)]
    places += [(model.params, name, False) for model in document.models for name in ("timeout", "stream_timeout")]
    for mapping, name, all_models in places:
        node = mapping.get(name)
        if node is None or node.kind != "string" or node.value.startswith(REFERENCE):
            continue
        if not _is_number(node.value, whole=False):
            yield Found(node.at, f"{name} is {node.value!r}, not a number of seconds", "Write 600.", fatal=all_models)


@rule(
    "C027",
    "error",
    "a required field is missing",
    why="LiteLLM reads it without asking whether it is there.",
    fatal=True,
)
def missing(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        for name in ("model_name", "litellm_params"):
            if model.node.get(name) is None:
                yield Found(model.node.at, f"model_list[{model.index}] has no {name}", f"Add {name}.")
        if model.params.value and model.params.get("model") is None:
            fix = "Add model: provider/model, for example openai/gpt-4o-mini."
            yield Found(model.params.at, f"{model.shown}: litellm_params has no model", fix)
    for index, guardrail in enumerate(document.guardrails):
        if guardrail.get("guardrail_name") is None:
            yield Found(guardrail.at, f"guardrails[{index}] has no guardrail_name", "Give it a name.")
        params = guardrail.mapping("litellm_params")
        for name in ("guardrail", "mode"):
            if params.get(name) is None:
                yield Found(guardrail.at, f"guardrails[{index}].litellm_params has no {name}", f"Add {name}.")


@rule(
    "C019",
    "error",
    "nothing where LiteLLM needs a value",
    why="LiteLLM takes the empty value and stops on it.",
    fatal=True,
)
def empty_value(document: Document, _context: LintContext) -> Iterable[Found]:
    settings = document.section("litellm_settings")
    names = [*_NO_NULL, *(["cache_params"] if document.cache is not None else [])]
    for name in names:
        if settings.has(name) and settings.value[name].kind == "null":
            edits = (Edit("delete", (*settings.path, name)),)
            yield Found(
                settings.key_at(name), f"litellm_settings.{name} is empty", "Give it a value or remove it.", None, edits
            )


@rule(
    "C028",
    "error",
    "a value that is not one of those allowed",
    why="LiteLLM stops on it, or leaves out what it is part of.",
    fatal=True,
)
def not_allowed(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()
    strategy = document.section("router_settings").get("routing_strategy")
    if strategy is not None and strategy.kind == "string" and not strategy.value.startswith(REFERENCE):
        yield from _one_of(strategy, known["routing_strategies"], "routing_strategy")
    if document.cache is not None:
        kind = document.cache.get("type")
        if kind is not None and not str(kind.value).startswith(REFERENCE):
            yield from _one_of(kind, known["cache"]["types"], "cache type")
    for guardrail in document.guardrails:
        params = guardrail.mapping("litellm_params")
        kind = params.get("guardrail")
        if kind is not None and kind.kind == "string" and "." not in kind.value:
            yield from _one_of(kind, known["guardrails"]["types"], "guardrail")
        mode = params.get("mode")
        for entry in mode.value if mode is not None and mode.kind == "sequence" else [mode] if mode else []:
            if entry.kind == "string":
                yield from _one_of(entry, known["guardrails"]["modes"], "guardrail mode")
        for action in dict(params.mapping("pii_entities_config").items()).values():
            yield from _one_of(action, ("MASK", "BLOCK"), "action for personal data")
    for model in document.models:
        mode = model.info.get("mode")
        if mode is not None and str(mode.value) not in _MODES:
            hint = meant(str(mode.value), _MODES) or "Write chat or embedding."
            yield Found(mode.at, f"model_info.mode {str(mode.value)!r} is no mode", hint, "warning")


def _one_of(node: Node, allowed: Sequence[str], what: str) -> Iterator[Found]:
    if str(node.value) not in allowed:
        fix = meant(str(node.value), allowed) or f"One of: {', '.join(allowed)}."
        yield Found(node.at, f"{str(node.value)!r} is no {what}", fix)
