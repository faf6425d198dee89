"""What LiteLLM takes for granted: fields that must be there, values behind them, a licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.document import REFERENCE
from llm_gateway.model_config.lint.findings import Edit
from llm_gateway.model_config.lint.registry import Found, key_edit, rule
from llm_gateway.model_config.lint.rules.shape import NO_NULL, is_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node

# Each tried without a licence: LiteLLM 1.106.2 does not come up.
_LICENSED = (
    ("general_settings", "allowed_ips"),
    ("general_settings", "enforced_params"),
    ("litellm_settings", "tag_budget_config"),
)


@rule(
    "C027",
    "error",
    "a required field is missing",
    why="LiteLLM reads it without asking whether it is there.",
    fatal=True,
)
def missing(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        yield from _lacks(model.node, f"model_list[{model.index}]", ("model_name", "litellm_params"))
        given = model.node.get("litellm_params")
        if given is not None and given.kind == "mapping":
            target, fix = given.get("model"), "Add model: provider/model, for example openai/gpt-4o-mini."
            if target is None:
                yield Found(given.at, f"{model.shown}: litellm_params has no model", fix)
            elif target.value == "":
                yield Found(target.at, f"{model.shown}: model is empty", fix, fatal=False)
    for index, guardrail in enumerate(document.guardrails):
        yield from _lacks(guardrail, f"guardrails[{index}]", ("guardrail_name",))
        params, where = guardrail.mapping("litellm_params"), f"guardrails[{index}].litellm_params"
        yield from _lacks(params, where, ("guardrail", "mode"))
    for index, entry in enumerate(document.root.list("credential_list")):
        yield from _lacks(
            entry, f"credential_list[{index}]", ("credential_name", "credential_values", "credential_info")
        )


def _lacks(node: Node, where: str, names: Sequence[str]) -> Iterator[Found]:
    for name in names:
        if node.kind == "mapping" and node.get(name) is None:
            yield Found(node.at, f"{where} has no {name}", f"Add {name}.")


@rule(
    "C019",
    "error",
    "nothing where LiteLLM needs a value",
    why="LiteLLM takes the empty value and stops on it.",
    fatal=True,
)
def empty_value(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        if model.node.has("model_info") and model.node.value["model_info"].kind == "null":
            edits = key_edit(model.node, "model_info")
            at = model.node.key_at("model_info")
            yield Found(at, f"{model.shown}: model_info is empty", "Give it a value or remove it.", None, edits)
    settings = document.section("litellm_settings")
    names = [*NO_NULL, *(["cache_params"] if document.cache is not None else [])]
    for name in names:
        if settings.has(name) and settings.value[name].kind == "null":
            edits = (Edit("delete", (*settings.path, name)),)
            yield Found(
                settings.key_at(name), f"litellm_settings.{name} is empty", "Give it a value or remove it.", None, edits
            )


@rule(
    "C068",
    "error",
    "a timeout that is no number",
    why="LiteLLM takes the word as it is, and each call that it is for is answered with 500.",
)
def timeout_word(document: Document, _context: LintContext) -> Iterable[Found]:
    router = document.section("router_settings")
    places = [(document.section("litellm_settings"), "request_timeout", True), (router, "timeout", True)]
    places += [(model.params, name, False) for model in document.models for name in ("timeout", "stream_timeout")]
    for mapping, name, all_models in places:
        node = mapping.get(name)
        if node is None or node.kind != "string" or node.value.startswith(REFERENCE):
            continue
        if not is_number(node.value, whole=False):
            yield Found(node.at, f"{name} is {node.value!r}, not a number of seconds", "Write 600.", fatal=all_models)


@rule(
    "C069",
    "error",
    "a feature that needs a licence",
    why="LiteLLM stops at the start when an enterprise feature is configured without LITELLM_LICENSE.",
    fatal=True,
)
def no_licence(document: Document, context: LintContext) -> Iterable[Found]:
    if context.is_set("LITELLM_LICENSE") or document.section("environment_variables").get("LITELLM_LICENSE"):
        return
    fix = "Remove it, or set LITELLM_LICENSE in .env."
    for section, name in _LICENSED:
        node = document.section(section)
        if node.get(name) is not None:
            yield Found(node.key_at(name), f"{section}.{name} is an enterprise feature of LiteLLM", fix)
    if document.root.get("worker_registry") is not None:
        yield Found(document.root.key_at("worker_registry"), "worker_registry is an enterprise feature of LiteLLM", fix)
