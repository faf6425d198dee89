"""Types, required fields, and values from a fixed list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.document import CALLBACK_LISTS, REFERENCE
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
_SETTINGS = ("general_settings", "litellm_settings", "router_settings")
_ENTRIES = ("model_list", "guardrails", "credential_list", "search_tools", "prompts", "vector_store_registry")
_LIST_SECTIONS = (*_ENTRIES, "policy_attachments")
_MAPPING_SECTIONS = (*_SETTINGS, "environment_variables", "mcp_servers", "callback_settings", "policies")
_IGNORED_SECTIONS = ("router_settings", "callback_settings", "policy_attachments")  # LiteLLM comes up all the same
# load_config iterates over these without looking first.
NO_NULL = ("callbacks", "success_callback", "failure_callback", "audit_log_callbacks")
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
        return is_number(text, whole="number" not in types)
    return False


def is_number(text: str, *, whole: bool) -> bool:
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
    for section in _SETTINGS:
        types = {**known[section], **_OPEN[section]}
        for name, child, message, expected in _typed(document.section(section), types, f"{section}."):
            fatal = (section, name) in _FATAL
            edits: tuple[Edit, ...] = ()
            if name == "callbacks" and child.kind == "string" and "." in child.value:
                continue  # one object of the person's own may stand without a list
            if name.endswith(("callback", "callbacks")) and child.kind == "string":
                edits = (Edit("set", (*document.section(section).path, name), [child.value]),)
            severity: Severity | None = "error" if fatal or edits else None
            yield Found(child.at, message, f"Write {expected}.", severity, edits, fatal=fatal)
    for model in document.models:
        name_node = model.node.get("model_name")
        if name_node is not None and name_node.kind != "string":
            edits = (Edit("set", (*model.node.path, "model_name"), str(name_node.value)),)
            quote = name_node.kind not in {"mapping", "sequence"}
            message = f"model_name is {_named(name_node)}, not text"
            fix = "Put quotes around it." if quote else "Write text."
            yield Found(name_node.at, message, fix, "error", edits if quote else (), fatal=True)
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


# Tried one by one: with another type LiteLLM does not come up, or answers no request.
_FATAL = {
    ("general_settings", "master_key"),
    ("general_settings", "allowed_routes"),
    ("general_settings", "max_request_size_mb"),
    ("general_settings", "key_management_settings"),
    ("litellm_settings", "cache_params"),
    ("litellm_settings", "callbacks"),
    ("litellm_settings", "max_budget"),
    ("litellm_settings", "default_team_settings"),
    ("litellm_settings", "upperbound_key_generate_params"),
    ("router_settings", "model_group_alias"),
    *((section, name) for section in _SETTINGS[1:] for name in ("fallbacks", "content_policy_fallbacks")),
}
# What the snapshot leaves open.
_OPEN: dict[str, dict[str, list[str]]] = {
    "general_settings": {"key_management_settings": ["object"]},
    "litellm_settings": {
        "cache_params": ["object"],
        "upperbound_key_generate_params": ["object"],
    },
    "router_settings": {"content_policy_fallbacks": ["array"]},
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
    yield from _entries(document)
    yield from _fallback_entries(document)
    switch = document.section("litellm_settings").get("cache")
    if switch is not None and switch.kind == "string" and not switch.value.startswith(REFERENCE):
        on = {"true": True, "false": False}.get(switch.value.lower())
        edits = () if on is None else (Edit("set", switch.path, on),)
        # Unlike other switches it is not read as a word: the text takes the cache's place, and each request fails.
        yield Found(
            switch.at, "cache is text, not true or false", "Write true without quotes.", "error", edits, fatal=True
        )


def _entries(document: Document) -> Iterator[Found]:
    """What stands in lists and mappings must be mappings, callbacks must be text; anything else stops the start."""
    wanted: list[tuple[str, Node]] = [
        (f"{name}[{index}]", entry) for name in _ENTRIES for index, entry in enumerate(document.root.list(name))
    ]
    endpoints = document.section("general_settings").list("pass_through_endpoints")
    wanted += [(f"pass_through_endpoints[{index}]", entry) for index, entry in enumerate(endpoints)]
    wanted += [(f"mcp_servers.{name}", entry) for name, entry in document.section("mcp_servers").items()]
    budgets = document.section("router_settings").mapping("provider_budget_config").items()
    wanted += [(f"provider_budget_config.{name}", entry) for name, entry in budgets]
    for name in ("model_list", "guardrails"):
        for index, entry in enumerate(document.root.list(name)):
            parts = ("litellm_params", "model_info") if name == "model_list" else ("litellm_params",)
            found = ((part, entry.get(part)) for part in parts)
            wanted += [(f"{name}[{index}].{part}", node) for part, node in found if node is not None]
    for where, node in wanted:
        if node.kind != "mapping":
            yield Found(
                node.at, f"{where} is {_named(node)}, not a mapping", "Write `key: value` lines.", "error", fatal=True
            )
    for name in CALLBACK_LISTS:
        for node in document.section("litellm_settings").list(name):
            if node.kind != "string":
                message = f"an entry of {name} is {_named(node)}, not a name"
                yield Found(node.at, message, "Name a callback.", "error", fatal=True)


def _fallback_entries(document: Document) -> Iterator[Found]:
    for section in ("litellm_settings", "router_settings"):
        for name in _FALLBACKS:
            for entry in document.section(section).list(name):
                if entry.kind != "mapping" or len(entry.value) != 1:
                    fix = "Write one `- model: [other, …]` line for each model."
                    message = f"an entry of {name} must map one model to its fallbacks"
                    yield Found(entry.at, message, fix, "error", fatal=(section, name) in _FATAL)


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
    manager = document.section("general_settings").get("key_management_system")
    if manager is not None and manager.kind == "string" and not manager.value.startswith(REFERENCE):
        yield from _one_of(manager, known["key_management_systems"], "key_management_system")
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
