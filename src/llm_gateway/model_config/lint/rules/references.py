"""Names that must name something: models, aliases, callbacks, guardrails, credentials."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.document import CALLBACK_LISTS, REFERENCE, Document, Model, Node
from llm_gateway.model_config.lint.names import meant
from llm_gateway.model_config.lint.patterns import matches
from llm_gateway.model_config.lint.registry import Found, key_edit, rule
from llm_gateway.model_config.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.findings import Severity

_OWN_CODE = ("custom_auth", "custom_key_generate", "custom_key_update", "custom_sso", "custom_ui_sso_sign_in_handler")
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")


def _is_model(document: Document, name: str) -> bool:
    names = document.model_names
    return name in names or name in document.aliases.value or any("*" in own and matches(own, name) for own in names)


def _severity(document: Document) -> Severity:
    """A model may also come from the database, where that is switched on."""
    stored = document.section("general_settings").get("store_model_in_db")
    return "warning" if stored is not None and stored.value is True else "error"


def _unknown(document: Document, node: Node, what: str) -> Iterator[Found]:
    name = node.value
    if node.kind == "string" and not name.startswith(REFERENCE) and not _is_model(document, name):
        fix = meant(name, document.model_names) or "Name a model_name of model_list."
        yield Found(node.at, f"{what} names {name!r}, which model_list does not have", fix, _severity(document))


@rule(
    "C040",
    "error",
    "a fallback that names no model",
    why="When the first model fails, the fallback fails too, just when it is needed.",
)
def unknown_fallback(document: Document, _context: LintContext) -> Iterable[Found]:
    for section in ("litellm_settings", "router_settings"):
        node = document.section(section)
        for kind in _FALLBACKS:
            for entry in node.list(kind):
                for source, targets in entry.items():
                    if source != "*" and not _is_model(document, source):
                        message = f"{kind} for {source!r}, which model_list does not have, are never used"
                        fix = meant(source, document.model_names) or "Name a model_name of model_list."
                        yield Found(entry.key_at(source), message, fix, "warning")
                    for target in targets.value if targets.kind == "sequence" else [targets]:
                        yield from _unknown(document, target, kind)
        for target in node.list("default_fallbacks"):
            yield from _unknown(document, target, "default_fallbacks")


@rule("C041", "error", "an alias for a model that is not there", why="Every request for the alias fails.")
def unknown_alias(document: Document, _context: LintContext) -> Iterable[Found]:
    for alias, target in document.aliases.items():
        node = target.get("model") if target.kind == "mapping" else target
        if node is not None:
            yield from _unknown(document, node, f"the alias {alias!r}")


@rule("C042", "error", "a router setting for a model that is not there", why="The setting has no effect.")
def unknown_in_router(document: Document, _context: LintContext) -> Iterable[Found]:
    router = document.section("router_settings")
    for group in router.list("routing_groups"):
        if group.kind == "mapping":
            for name in group.list("models"):
                yield from _unknown(document, name, "a routing group")
    for setting in ("model_group_retry_policy", "model_group_affinity_config"):
        node = router.mapping(setting)
        for name in node.value:
            if not _is_model(document, name):
                fix = meant(name, document.model_names) or "Name a model_name of model_list."
                yield Found(
                    node.key_at(name), f"{setting} names {name!r}, which model_list does not have", fix, "warning"
                )


def _named_in_settings(document: Document) -> set[str]:
    """Callbacks that callback_settings defines."""
    return {name for name, node in document.section("callback_settings").items() if node.kind == "mapping"}


@rule(
    "C044",
    "error",
    "a callback that does not exist",
    why="Under `callbacks` it stops the start; in the other lists it is ignored and nothing is logged.",
    fatal=True,
)
def unknown_callback(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()["callbacks"]
    for entry in document.callbacks:
        if "." in entry.name or "://" in entry.name:
            continue
        strict = entry.list == "callbacks"
        if entry.name not in {
            *known["callbacks"],
            *({} if strict else known["success_callback"]),
            *_named_in_settings(document),
        }:
            names = known["callbacks"] if strict else [*known["callbacks"], *known["success_callback"]]
            message = f"{entry.list} names {entry.name!r}, which LiteLLM does not have"
            yield Found(
                entry.node.at, message, meant(entry.name, names) or "Remove it.", "error" if strict else "warning"
            )


@rule(
    "C045",
    "warning",
    "a guardrail that does not exist",
    why="The model is called without the protection that its config promises.",
)
def unknown_guardrail(document: Document, _context: LintContext) -> Iterable[Found]:
    names = {guardrail.text("guardrail_name") for guardrail in document.guardrails}
    for model in document.models:
        for node in model.params.list("guardrails"):
            if node.kind == "string" and node.value not in names:
                fix = meant(node.value, names) or "Define it under guardrails."
                yield Found(node.at, f"{model.shown} names the guardrail {node.value!r}, which is not defined", fix)


@rule(
    "C046",
    "warning",
    "two identical deployments",
    why="LiteLLM balances between them and nothing is gained; one was probably meant to differ.",
)
def identical_deployments(document: Document, _context: LintContext) -> Iterable[Found]:
    seen: dict[str, Model] = {}
    for model in document.models:
        if not model.params.value:
            continue
        fingerprint = json.dumps([model.name, model.params.plain()], sort_keys=True, default=str)
        first = seen.setdefault(fingerprint, model)
        if first is not model and first.node is not model.node:
            at = model.node.at
            message = f"{model.shown} is the same deployment as the one in {first.node.file}, line {first.node.line}"
            yield Found(at, message, "Remove one, or give it another key, region or endpoint.")


@rule(
    "C047",
    "info",
    "a wildcard that takes more than it seems",
    why="Names that no other entry has go there, so a misspelt model is not refused but sent to a provider.",
)
def wildcard(document: Document, _context: LintContext) -> Iterable[Found]:
    wild = [model for model in document.models if "*" in model.name]
    for model in wild:
        same = next((other for other in wild if other.name == model.name and other.index < model.index), None)
        if same is not None and same.provider != model.provider:
            both = f"{same.provider or same.target} and for {model.provider or model.target}"
            message = f"{model.name!r} stands twice, for {both}"
            fix = "Give each provider its own prefix, for example openai/* and anthropic/*."
            yield Found(model.node.at, f"{message}: calls alternate between the two", fix, "warning")
        elif model.name == "*" and len(document.models) > len(wild):
            fix = "Use a prefix such as openai/*, if that is not meant."
            yield Found(model.node.at, "'*' takes every name that no other entry has", fix)
        covered = [
            m for m in document.models if "*" not in m.name and m.name == m.target and matches(model.name, m.name)
        ]
        if covered and model.name != "*" and model.target.rstrip("*") == model.name.rstrip("*"):
            plain = [m for m in covered if set(m.params.value) <= {"model", "api_key"} and not m.info.value]
            for other in plain:
                message = f"{other.name!r} adds nothing to {model.name!r}"
                yield Found(other.node.at, message, "Remove it, or give it what the wildcard does not have.")


@rule(
    "C048",
    "error",
    "code that cannot be found",
    why="LiteLLM imports it at the start, and stops when that fails.",
    fatal=True,
)
def missing_code(document: Document, _context: LintContext) -> Iterable[Found]:
    for what, node in _code(document):
        text = node.value
        if "://" in text or text.startswith(REFERENCE):
            continue
        module = text.rpartition(".")[0].strip(".")
        if not module:
            if what in _OWN_CODE:
                yield Found(node.at, f"{what} names {text!r}, which is no module.object", "Write module.object.")
            continue
        beside = [
            Path(root).parent / Path(*module.split(".")).with_suffix(".py") for root in {document.file, node.file}
        ]
        if not any(path.is_file() for path in beside) and not _importable(module.split(".")[0]):
            message = f"{what} names {text}, but there is no {'/'.join(module.split('.'))}.py beside the config"
            yield Found(node.at, message, "Put the file beside the config, and name module.object.")


def _code(document: Document) -> Iterator[tuple[str, Node]]:
    for entry in document.callbacks:
        yield entry.list, entry.node
    general = document.section("general_settings")
    for name in _OWN_CODE:
        node = general.get(name)
        if node is not None and node.kind == "string":
            yield name, node
    for provider in document.section("litellm_settings").list("custom_provider_map"):
        node = provider.get("custom_handler")
        if node is not None and node.kind == "string":
            yield "custom_provider_map", node
    for guardrail in document.guardrails:
        node = guardrail.mapping("litellm_params").get("guardrail")
        if node is not None and node.kind == "string":
            yield "a guardrail", node


def _importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


@rule(
    "C049", "error", "a credential that is not defined", why="The model has no key, so the provider refuses its calls."
)
def unknown_credential(document: Document, _context: LintContext) -> Iterable[Found]:
    names = {entry.text("credential_name") for entry in document.root.list("credential_list")}
    for model in document.models:
        node = model.params.get("litellm_credential_name")
        if node is not None and node.kind == "string" and node.value not in names:
            fix = meant(node.value, names) or "Define it in credential_list."
            message = f"{model.shown} names the credential {node.value!r}, which is not defined"
            yield Found(node.at, message, fix, _severity(document))


@rule("C039", "warning", "a callback that is listed twice", why="LiteLLM keeps one; the other suggests a slip.")
def repeated_callback(document: Document, _context: LintContext) -> Iterable[Found]:
    for name in CALLBACK_LISTS:
        seen: set[str] = set()
        settings = document.section("litellm_settings")
        for entry in (entry for entry in document.callbacks if entry.list == name):
            if entry.name in seen:
                edits = key_edit(settings.value[name], entry.index)  # type: ignore[arg-type]
                yield Found(entry.node.at, f"{name} lists {entry.name} twice", "Remove one.", None, edits)
            seen.add(entry.name)
