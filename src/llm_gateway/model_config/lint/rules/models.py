"""Traps in the entries of model_list."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_gateway.model_config.lint.findings import Edit
from llm_gateway.model_config.lint.names import meant
from llm_gateway.model_config.lint.registry import Found, rule
from llm_gateway.model_config.providers import is_priced, provider_of
from llm_gateway.model_config.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document

_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/v1/messages", "/responses")
_OPENAI_LIKE = {"openai", "text-completion-openai", "custom_openai"}
_FAMILIES = (("gpt-", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"), ("claude-", "anthropic"))
_BILLING = ("lago", "openmeter")


@rule(
    "C050",
    "warning",
    "mode under litellm_params",
    why="LiteLLM sends it to the provider as a field of every request, and does not see the mode itself.",
)
def mode_in_params(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        if model.params.has("mode"):
            edits: tuple[Edit, ...] = (
                Edit("move", (*model.params.path, "mode"), target=(*model.node.path, "model_info", "mode")),
            )
            if model.info.has("mode"):
                edits = (Edit("delete", (*model.params.path, "mode")),)
            fix = "Move it to model_info."
            yield Found(
                model.params.key_at("mode"), f"{model.shown}: mode stands under litellm_params", fix, None, edits
            )


@rule(
    "C051",
    "error",
    "an Ollama address that ends in /v1",
    why="The provider ollama/ speaks Ollama's own API; /v1 is the OpenAI-compatible one, so every call fails.",
)
def ollama_v1(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        base = model.params.get("api_base")
        if model.provider in {"ollama", "ollama_chat"} and base is not None and base.kind == "string":
            text = base.value.rstrip("/")
            if text.endswith(("/v1", "/api")):
                better = text.rsplit("/", 1)[0]
                edits = (Edit("set", (*model.params.path, "api_base"), better),)
                yield Found(
                    base.at,
                    f"{model.shown}: api_base ends in /{text.rsplit('/', 1)[1]}",
                    f"Write {better}",
                    None,
                    edits,
                )


@rule(
    "C052",
    "warning",
    "a limit of zero",
    why="Zero is not `no limit`: the router finds no deployment that may be called.",
)
def zero_limit(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        for name in ("rpm", "tpm", "max_parallel_requests"):
            node = model.params.get(name)
            if node is not None and node.kind in {"integer", "number"} and node.value <= 0:
                fix = "Remove the line for no limit."
                yield Found(model.params.key_at(name), f"{model.shown}: {name} is {node.value}", fix)


@rule(
    "C053",
    "warning",
    "a model without a price where money is counted",
    why="LiteLLM counts its calls as free, so budgets never fill and bills miss them.",
)
def unpriced(document: Document, context: LintContext) -> Iterable[Found]:
    settings = document.section("litellm_settings")
    counted = any(settings.get(name) is not None for name in ("max_budget", "max_end_user_budget", "max_user_budget"))
    if not (counted or document.callback(*_BILLING) or "lago" in context.enabled):
        return
    for model in document.models:
        if model.target and not model.target.startswith("<") and "*" not in model.target and not is_priced(model):
            fix = (
                "Add model_info: {input_cost_per_token: …, output_cost_per_token: …} in US dollars; 0 when it is free."
            )
            yield Found(model.node.at, f"{model.shown}: no price is known for {model.target}", fix)


@rule(
    "C055", "error", "a model whose provider is not clear", why="LiteLLM drops the deployment, or fails at each call."
)
def no_provider(document: Document, _context: LintContext) -> Iterable[Found]:
    known = schema()["providers"]
    custom = {entry.text("provider") for entry in document.section("litellm_settings").list("custom_provider_map")}
    for model in document.models:
        node = model.params.get("model")
        if node is None or node.kind != "string" or not model.target or model.target.startswith(("os.environ/", "<")):
            continue
        if provider_of(model) or model.provider in custom or "*" in model.target or _routed(model.target):
            continue
        named = model.params.get("api_base") or model.params.get("base_url")
        if "/" in model.target and named is not None:
            continue  # some addresses tell the provider
        family = next((provider for start, provider in _FAMILIES if model.target.startswith(start)), "")
        if family:  # a name newer than the price table; LiteLLM may get a newer table from elsewhere
            message = f"{model.shown}: LiteLLM does not know {model.target!r} and cannot tell its provider"
            edits = (Edit("set", (*model.params.path, "model"), f"{family}/{model.target}"),)
            yield Found(node.at, message, f"Write {family}/{model.target}", "warning", edits)
            continue
        hint = (
            meant(model.provider, known) if model.provider else "Write provider/model, for example openai/gpt-4o-mini."
        )
        fix = hint or "Begin with a provider of LiteLLM; openai/ suits every OpenAI-compatible server."
        yield Found(node.at, f"{model.shown}: {model.target!r} names no provider that LiteLLM knows", fix)


def _routed(target: str) -> bool:
    return target.startswith(("auto_router/", "complexity_router/", "adaptive_router/", "quality_router/"))


@rule(
    "C057",
    "warning",
    "an address with the endpoint's path",
    why="LiteLLM adds the path itself, so calls go to …/chat/completions/chat/completions and get 404.",
)
def endpoint_in_base(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        for name in ("api_base", "base_url"):
            node = model.params.get(name)
            if node is None or node.kind != "string" or model.provider in {"azure", "azure_ai", "custom"}:
                continue
            path = urlsplit(node.value).path.rstrip("/") if _is_url(node.value) else ""
            ending = next((ending for ending in _ENDPOINTS if path.endswith(ending)), "")
            if ending and provider_of(model) in {*_OPENAI_LIKE, "hosted_vllm", "lm_studio", "litellm_proxy"}:
                better = node.value.rstrip("/").removesuffix(ending)
                edits = (Edit("set", (*model.params.path, name), better),)
                yield Found(node.at, f"{model.shown}: {name} ends in {ending}", f"Write {better}", None, edits)


def _is_url(text: str) -> bool:
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:
        return False


@rule(
    "C058",
    "warning",
    "an OpenAI-compatible server without a key",
    why="OpenAI's client refuses to work without one, even where the server wants none.",
)
def no_key(document: Document, context: LintContext) -> Iterable[Found]:
    for model in document.models:
        base = model.params.get("api_base") or model.params.get("base_url")
        if model.provider not in _OPENAI_LIKE or base is None:
            continue
        given = ("api_key", "litellm_credential_name", "configurable_clientside_auth_params")
        if not any(model.params.get(name) for name in given) and not context.is_set("OPENAI_API_KEY"):
            message = f"{model.shown} has an api_base of its own and no api_key"
            yield Found(model.params.at, message, "Add api_key: none, or the server's key.")


@rule(
    "C059",
    "error",
    "an address that is no URL",
    why="Nothing can be called there.",
)
def bad_url(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        for name in ("api_base", "base_url"):
            node = model.params.get(name)
            if (
                node is None
                or node.kind != "string"
                or not node.value
                or node.value.startswith(("os.environ/", "$", "<"))
            ):
                continue
            if not _is_url(node.value) or not node.value.startswith(("http://", "https://", "ws://", "wss://")):
                fix = "Begin with http:// or https://."
                yield Found(
                    node.at,
                    f"{model.shown}: {name} is no URL with a scheme",
                    fix,
                    "warning" if "." in node.value else None,
                )
