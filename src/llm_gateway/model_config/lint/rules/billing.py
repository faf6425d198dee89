"""Lago, budgets and prices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.findings import Edit
from llm_gateway.model_config.lint.registry import Found, rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document

_LAGO = ("LAGO_API_KEY", "LAGO_API_BASE", "LAGO_API_EVENT_CODE")
_CHARGE_BY = ("end_user_id", "user_id", "team_id")
_CENTS = re.compile(r"#.*\b(?:cents?|pennies|¢)\b", re.IGNORECASE)
_BUDGETS = ("max_budget", "max_user_budget", "max_end_user_budget", "max_internal_user_budget", "default_soft_budget",
            "default_max_internal_user_budget")  # fmt: skip
_DEAREST = 0.01  # US dollars per token; the dearest model of the price table costs a tenth of it


def _value(document: Document, context: LintContext, name: str) -> str:
    declared = document.section("environment_variables").get(name)
    return str(declared.value) if declared is not None else context.value(name)


def _known(document: Document, context: LintContext, name: str) -> bool:
    return context.is_set(name) or document.section("environment_variables").get(name) is not None


@rule(
    "C075",
    "warning",
    "lago before another callback",
    why="When Lago hangs, LiteLLM gives up on the list after 20 s, and what stands behind lago never runs.",
)
def lago_first(document: Document, _context: LintContext) -> Iterable[Found]:
    for entry in document.callbacks:
        others = [other for other in document.callbacks if other.list == entry.list and other.index > entry.index]
        if entry.name == "lago" and others:
            node = document.section("litellm_settings").value[entry.list]
            order = [*(n.plain() for i, n in enumerate(node.value) if i != entry.index), "lago"]
            edits = (Edit("set", node.path, order),)
            yield Found(entry.node.at, f"lago stands before {others[0].name}", "Put it last.", None, edits)


@rule(
    "C076",
    "error",
    "Lago without its variables",
    why="LiteLLM makes no Lago logger, so nothing is metered; calls still succeed.",
    fatal=True,
)
def lago_variables(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("lago")
    if entry is None:
        return
    for name in (name for name in _LAGO if not _known(document, context, name)):
        old = name == "LAGO_API_EVENT_CODE" and _known(document, context, "LAGO_EVENT_CODE")
        message = f"lago is on, but {name} is not set" + (
            " (LAGO_EVENT_CODE is, which LiteLLM does not read)" if old else ""
        )
        fix = "Rename LAGO_EVENT_CODE to LAGO_API_EVENT_CODE." if old else f"Set {name} in .env"
        yield Found(entry.node.at, message, fix)


@rule(
    "C077",
    "error",
    "a LAGO_API_CHARGE_BY that Lago's logger refuses",
    why="Every event is lost; calls still succeed.",
    fatal=True,
)
def charge_by(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("lago")
    name = "LAGO_API_CHARGE_BY"
    declared = document.section("environment_variables").get(name)
    if entry is None or (name not in context.variables and declared is None):
        return
    value = _value(document, context, name)
    if value not in _CHARGE_BY:
        state = "is none of the three that Lago's logger knows" if value else "is empty"
        at = declared.at if declared is not None else entry.node.at
        yield Found(at, f"{name} {state}", f"One of {', '.join(_CHARGE_BY)}, or remove the variable.")


@rule(
    "C082",
    "info",
    "lago bills by the user that a request names",
    why="LiteLLM drops the event of a request without `user` (External Customer ID is not set); the client gets its "
    "answer all the same.",
)
def billed_by_user(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("lago")
    if entry is not None and _value(document, context, "LAGO_API_CHARGE_BY") in {"", "end_user_id"}:
        fix = (
            "Let clients send user, a Lago subscription's external id, or set LAGO_API_CHARGE_BY to team_id or user_id."
        )
        yield Found(entry.node.at, "requests without user are not billed", fix)


@rule(
    "C078",
    "error",
    "/api/v1 in LAGO_API_BASE",
    why="LiteLLM adds the path itself, so every event goes to a page that is not there.",
    fatal=True,
)
def lago_base(document: Document, context: LintContext) -> Iterable[Found]:
    entry = document.callback("lago")
    declared = document.section("environment_variables").get("LAGO_API_BASE")
    value = _value(document, context, "LAGO_API_BASE").rstrip("/")
    if entry is None or not value.endswith(("/api/v1", "/api")):
        return
    edits: tuple[Edit, ...] = ()
    if declared is not None:
        better = value.removesuffix("/v1").removesuffix("/api")
        edits = (Edit("set", declared.path, better),)
    at = declared.at if declared is not None else entry.node.at
    yield Found(
        at, "LAGO_API_BASE ends in a path", "Give only scheme, host and port: http://localhost:3010", None, edits
    )


@rule(
    "C090",
    "warning",
    "a budget without a database",
    why="LiteLLM keeps spend in the database; without one no budget is enforced.",
)
def budget_without_database(document: Document, context: LintContext) -> Iterable[Found]:
    if context.database is not False or context.is_set("DATABASE_URL"):
        return
    settings = document.section("litellm_settings")
    for name in _BUDGETS:
        if settings.get(name) is not None and document.section("general_settings").get("database_url") is None:
            yield Found(settings.key_at(name), f"{name} is not enforced without a database", "Start with --database.")


@rule("C091", "warning", "a budget that is never reset", why="Once it is used up, every request is refused for good.")
def no_duration(document: Document, _context: LintContext) -> Iterable[Found]:
    settings = document.section("litellm_settings")
    if settings.get("max_budget") is not None and settings.get("budget_duration") is None:
        message = "max_budget stands without budget_duration"
        yield Found(settings.key_at("max_budget"), message, "Add budget_duration: 30d, for example.")
    for model in document.models:
        if model.params.get("max_budget") is not None and model.params.get("budget_duration") is None:
            message = f"{model.shown}: max_budget stands without budget_duration"
            yield Found(model.params.key_at("max_budget"), message, "Add budget_duration: 1d, for example.")
    for name, node in document.section("router_settings").mapping("provider_budget_config").items():
        if node.kind == "mapping" and not (node.get("time_period") or node.get("budget_duration")):
            yield Found(node.at, f"the budget of {name} has no time_period", "Add time_period: 1d, for example.")


@rule("C092", "warning", "a budget in cents", why="Budgets are US dollars: what was meant as 5 cents allows 5 dollars.")
def cents(document: Document, _context: LintContext) -> Iterable[Found]:
    settings = document.section("litellm_settings")
    nodes = [(settings, name) for name in _BUDGETS if settings.get(name) is not None]
    nodes += [(model.params, "max_budget") for model in document.models if model.params.get("max_budget") is not None]
    for mapping, name in nodes:
        at = mapping.key_at(name)
        if _CENTS.search(document.line(at)):
            yield Found(at, f"the comment says that {name} is in cents; it is in US dollars", "Divide it by 100.")


@rule(
    "C093",
    "warning",
    "a price that cannot be meant",
    why="Prices are US dollars per single token; price lists name them per million.",
)
def per_million(document: Document, _context: LintContext) -> Iterable[Found]:
    for model in document.models:
        for mapping in (model.info, model.params):
            for name in ("input_cost_per_token", "output_cost_per_token"):
                node = mapping.get(name)
                if node is not None and node.kind in {"integer", "number"} and node.value >= _DEAREST:
                    cost = f"a million tokens cost {node.value * 1e6:,.0f} US dollars"
                    message = f"{model.shown}: {name} is {node.value}, so {cost}"
                    yield Found(node.at, message, f"Per million tokens? Then write {node.value / 1e6:.10g}")
