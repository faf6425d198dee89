"""Unknown keys at every level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.findings import Edit
from llm_gateway.model_config.lint.names import close, meant
from llm_gateway.model_config.lint.registry import Found, rule
from llm_gateway.model_config.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node

_SETTINGS = ("general_settings", "litellm_settings", "router_settings")
_ENTRY_KEYS = ("model_name", "litellm_params", "model_info")
# Keys that have rules of their own.
_SPECIAL = {("general_settings", "salt_key"), ("litellm_settings", "salt_key")}
_REFUSED_BY_ROUTER = {"health_check_interval", "health_check_concurrency"}
_IGNORED = "LiteLLM ignores what it does not know, so the setting has no effect and nobody is told."


# What other files that people mistake for a model config begin with.
_OTHER_FILES = {
    "services": "a Compose file",
    "apiVersion": "a Kubernetes manifest or a Helm chart",
    "dependencies": "a Helm chart",
    "global": "Helm values",
    "image": "Helm values or a dev container",
    "scrape_configs": "a Prometheus configuration",
    "repos": "a pre-commit configuration",
}


def _is_other_file(document: Document) -> bool:
    known = schema()["sections"]
    return bool(document.root.value) and not any(name in known for name in document.root.value)


@rule(
    "C018",
    "error",
    "another kind of file",
    why="LiteLLM finds nothing that it knows in it, and has no models.",
    fatal=True,
)
def other_file(document: Document, _context: LintContext) -> Iterable[Found]:
    if _is_other_file(document):
        kind = next((what for name, what in _OTHER_FILES.items() if name in document.root.value), "something else")
        near = next((hint for name in document.root.value if (hint := meant(name, schema()["sections"]))), "")
        message = f"no section of a model config is in this file; it looks like {kind}"
        yield Found(document.root.at, message, near or "Name the file that has model_list.")


@rule("C017", "warning", "no models", why="LiteLLM answers each request for a model with 400.")
def no_models(document: Document, context: LintContext) -> Iterable[Found]:
    general, models = document.section("general_settings"), document.root.get("model_list")
    others = general.get("pass_through_endpoints") or document.section("mcp_servers").value
    if others or _is_other_file(document) or (models is not None and models.value):
        return
    at = document.root.key_at("model_list") if document.root.has("model_list") else document.root.at
    if context.database is False:
        yield Found(at, "model_list has no entry", "Add one.")
    else:
        yield Found(at, "model_list has no entry", "Add one here or in the admin UI.", "info")


@rule("C020", "warning", "an unknown section", why=_IGNORED)
def unknown_section(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()
    if _is_other_file(document):
        return
    for name, child in document.root.items():
        if name in known["sections"] or name.startswith(("x-", ".")):  # the places for shared YAML anchors
            continue
        section = next((section for section in _SETTINGS if name in known[section]), "")
        hint = meant(name, known["sections"]) or (f"It belongs under {section}." if section else "Remove it.")
        if not section and child.kind == "mapping" and hint == "Remove it." and "&" in document.line(child.at):
            continue
        yield Found(document.root.key_at(name), f"{name} is no section of a LiteLLM config", hint)


@rule("C021", "warning", "an unknown setting", why=_IGNORED)
def unknown_setting(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()
    for section in _SETTINGS:
        node = document.section(section)
        others = [other for other in _SETTINGS if other != section]
        for name in node.value:
            if name in known[section] or (section, name) in _SPECIAL or any(name in known[other] for other in others):
                continue
            yield Found(node.key_at(name), f"{section} has no {name}", meant(name, known[section]) or "Remove it.")
    for model in document.models:
        for name in model.node.value:
            if name not in _ENTRY_KEYS:
                parameter = name in schema()["litellm_params"] or name in schema()["passed_params"]
                hint = "It belongs under litellm_params." if parameter else meant(name, _ENTRY_KEYS) or "Remove it."
                yield Found(model.node.key_at(name), f"{model.shown}: a model has no {name}", hint)


@rule("C029", "warning", "a setting in the wrong section", why=_IGNORED, fatal=True)
def wrong_section(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()
    for section in _SETTINGS:
        node = document.section(section)
        for name in node.value:
            right = next((other for other in _SETTINGS if name in known[other]), "")
            refused = section == "router_settings" and name in _REFUSED_BY_ROUTER
            if (name in known[section] and not refused) or not right:
                continue
            if refused:
                right = "general_settings"
            target = document.section(right)
            edits = (
                (Edit("move", (*node.path, name), target=(right, name)),)
                if not target.has(name) and target.file == node.file
                else ()
            )
            message = f"{name} belongs to {right}, not to {section}"
            yield Found(node.key_at(name), message, f"Move it to {right}.", "error" if refused else None, edits)


@rule(
    "C022",
    "info",
    "a parameter of a model that LiteLLM does not know",
    why="LiteLLM sends unknown parameters to the provider as they are; a misspelt one is refused or has no effect.",
)
def unknown_parameter(document: Document, _context: LintContext) -> Iterable[Found]:
    known = {*schema()["litellm_params"], *schema()["passed_params"], "model"}
    for model in document.models:
        for name in model.params.value:
            if name in known or name == "mode":
                continue
            hint = close(name, known, cutoff=0.82)
            if not hint and model.params.get("api_base"):
                continue  # servers of one's own, vLLM above all, have many parameters of their own
            message = f"{model.shown}: LiteLLM does not know the parameter {name}"
            fix = f"Did you mean {hint}?" if hint else "Check that the provider knows it."
            yield Found(model.params.key_at(name), message, fix, "warning" if hint else None)


@rule(
    "C023",
    "warning",
    "a misspelt key of model_info",
    why="Keys of your own are fine there; one that is nearly LiteLLM's is probably a slip, and has no effect.",
)
def misspelt_info(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()["model_info"]
    for model in document.models:
        for name in model.info.value:
            hint = "" if name in known else close(name, known, cutoff=0.88)
            if hint:
                yield Found(
                    model.info.key_at(name), f"{model.shown}: model_info has no {name}", f"Did you mean {hint}?"
                )


@rule("C024", "warning", "an unknown cache parameter", why=_IGNORED)
def unknown_cache_parameter(document: Document, _context: LintContext) -> Iterable[Found]:
    node = document.section("litellm_settings").mapping("cache_params")
    cache = schema()["cache"]
    known = {*cache["params"], *cache["redis_params"], "supported_call_types"}
    for name in node.value:
        if name not in known and name != "redis_semantic_cache_use_async":
            yield Found(node.key_at(name), f"cache_params has no {name}", meant(name, known) or "Remove it.")


@rule("C025", "warning", "an unknown key of a guardrail", why=_IGNORED)
def unknown_guardrail_key(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()["guardrails"]
    for guardrail in document.guardrails:
        for name in guardrail.value:
            if name not in known["keys"]:
                belongs = "It belongs under litellm_params." if name in known["params"] else ""
                hint = belongs or meant(name, known["keys"]) or "Remove it."
                yield Found(guardrail.key_at(name), f"a guardrail has no {name}", hint)
        params = guardrail.mapping("litellm_params")
        if "." in params.text("guardrail"):
            continue  # a guardrail of the person's own takes what it likes
        for name in params.value:
            hint = "" if name in known["params"] else close(name, known["params"], cutoff=0.8)
            if hint:
                yield Found(params.key_at(name), f"no guardrail has the parameter {name}", f"Did you mean {hint}?")


@rule("C015", "warning", "an unknown key of an entry", why=_IGNORED)
def unknown_entry_key(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()["entries"]
    for kind, what, entry in _entries(document):
        for name in entry.value if entry.kind == "mapping" else ():
            if name not in known[kind]:
                yield Found(entry.key_at(name), f"{what} has no {name}", meant(name, known[kind]) or "Remove it.")


def _entries(document: Document) -> Iterator[tuple[str, str, Node]]:
    """What stands one level below: its kind in the snapshot, its name for a person, its node."""
    general, router = document.section("general_settings"), document.section("router_settings")
    for entry in document.root.list("credential_list"):
        yield "credential_list", "a credential", entry
    for name, server in document.section("mcp_servers").items():
        yield "mcp_servers", f"the MCP server {name}", server
    for entry in general.list("pass_through_endpoints"):
        yield "pass_through_endpoints", "a pass-through endpoint", entry
    for entry in router.list("routing_groups"):
        yield "routing_groups", "a routing group", entry
    for parent, name in ((general, "alerting_args"), (router, "retry_policy"), (router, "allowed_fails_policy")):
        yield name, name, parent.mapping(name)
    for name, policy in router.mapping("model_group_retry_policy").items():
        yield "retry_policy", f"the retry policy of {name}", policy
