"""lint and config models: what a config says, and what is wrong with it. Quick: no service's code is loaded."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llm_gateway.choices import resolve
from llm_gateway.dotenv import Environment
from llm_gateway.dotenv import read as read_env
from llm_gateway.errors import GatewayError
from llm_gateway.files import read_json
from llm_gateway.model_config.lint import render
from llm_gateway.model_config.lint.context import PACKAGES, LintContext
from llm_gateway.model_config.lint.document import REFERENCE
from llm_gateway.model_config.lint.rules.environment import secret_values
from llm_gateway.model_config.lint.run import Linted, counts, lint_file
from llm_gateway.model_config.providers import is_priced, mode_of, provider_of
from llm_gateway.options import options
from llm_gateway.paths import find_home
from llm_gateway.results import Result
from llm_gateway.settings import SETTINGS, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_gateway.choices import Choices
    from llm_gateway.model_config.lint.document import Document, Model
    from llm_gateway.model_config.lint.findings import Finding
    from llm_gateway.model_config.lint.fix import Fixed
    from llm_gateway.progress import Progress
    from llm_gateway.services.base import Stack

_SERVICES = {
    "enableRedis": "redis",
    "enableLangfuse": "langfuse",
    "enablePresidio": "presidio",
    "enableLago": "lago",
    "enablePrometheus": "prometheus",
}
_OWN = {"native", "docker"}  # a server of somebody else's may be able to do what the kit's cannot
_LIMITS = ("rpm", "tpm", "max_parallel_requests", "max_budget")


def situation(environ: Mapping[str, str] | None = None) -> LintContext:
    """What the lint may know about this machine and its home. Works without a home, too.

    Raises:
        InputError: a bad `.env` (E111, E112) or a bad choice (E105, E106).
    """
    process = dict(os.environ if environ is None else environ)
    try:
        home = find_home(process)
    except GatewayError:  # no home: a checkout of configs in CI
        home = None
    saved = read_json(home.options_file) if home else {}
    choices = resolve((*options(), *SETTINGS), flags={}, environ=process, saved=saved)
    file = {}
    if home:
        file = read_env(home.env_file if home.env_file.exists() else home.env_link)
    return context_for(choices, Environment(process=process, file=file).merged())


def context_for(choices: Choices, variables: Mapping[str, str]) -> LintContext:
    """The lint's context for resolved choices and the variables that the gateway would get."""
    enabled = {service for option, service in _SERVICES.items() if choices.flag(option)}
    if choices.flag("database"):
        enabled.add("postgres")
    named = {choice.id for choice in choices.catalogue}
    return LintContext(
        variables=variables,
        enabled=frozenset({*enabled, "gateway"}),
        start_with_defaults=choices.flag("startWithDefaults"),
        loopback=is_loopback(choices.text("bind")),
        container="gatewayPlacement" in named and choices.text("gatewayPlacement") == "container",
        database=choices.flag("database"),
        search=choices.flag("semanticCache") or bool(choices.text("redisSearchModule")),
        packages=_installed(),
        proxies=_proxies(variables),
    )


def context_of(stack: Stack) -> LintContext:
    """The lint's context for a planned stack: what its gateway's process will really get."""
    from llm_gateway.services.registry import BY_ID  # noqa: PLC0415 - `lint` alone needs no service

    (process,) = BY_ID["gateway"].processes(stack)
    variables = {**stack.values, **process.extra}
    return replace(
        context_for(stack.choices, {name: variables[name] for name in variables.keys() - set(process.unset)}),
        enabled=frozenset(id_ for id_, placement in stack.placements.items() if placement.where in _OWN),
        database=stack.runs("postgres"),
    )


def _installed() -> dict[str, str]:
    """The versions of the packages that rules ask for, in this interpreter's environment: the gateway's."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _proxies(variables: Mapping[str, str]) -> dict[str, str]:
    """Proxies of the variables, lower case first; where they name none, the system's (macOS, Windows)."""
    found: dict[str, str] = {}
    for name in sorted(variables):  # lower case sorts last and wins, as in urllib
        if name.lower().endswith("_proxy") and variables[name]:
            found[name.lower().removesuffix("_proxy")] = variables[name]
    if not found and sys.platform in {"darwin", "win32"}:
        from urllib.request import getproxies  # noqa: PLC0415 - slow to import, and the same as above on Linux

        found = getproxies()
    return found


@dataclass(frozen=True)
class Lint:
    """All files linted, before anything is shown or written."""

    files: tuple[Linted, ...]

    @property
    def fixable(self) -> bool:
        """Has any finding a safe fix?"""
        return any(finding.edits for linted in self.files for finding in linted.findings)

    def fixes(self) -> list[Fixed]:
        """What `--fix` would write."""
        from llm_gateway.model_config.lint.fix import fixes  # noqa: PLC0415 - only --fix needs it

        hide = [value for linted in self.files if linted.document for value in secret_values(linted.document)]
        return fixes((finding for linted in self.files for finding in linted.findings), hide=hide)

    def result(self, *, form: str = "text", fixed: Sequence[Fixed] = ()) -> Result:
        """The verb's result; `fixed` names what was written meanwhile."""
        findings = [finding for linted in self.files for finding in linted.findings]
        data = {
            "files": [{"file": linted.file, "usable": linted.document is not None} for linted in self.files],
            "counts": counts(findings),
            "findings": [finding.as_dict() for finding in findings],
            "fixed": [{"file": one.file, "settled": one.settled, "diff": one.diff} for one in fixed],
        }
        shown = render.github(findings) if form == "github" else render.text(findings)
        return Result("lint", data, shown, exit_code=max((linted.exit_code for linted in self.files), default=0))


def lint(files: Sequence[str], context: LintContext | None = None) -> Lint:
    """Lint each file by itself."""
    known = situation() if context is None else context
    return Lint(tuple(lint_file(file, known) for file in files))


def refuse_mistakes(stack: Stack, *, progress: Progress, force: bool = False) -> tuple[str, ...]:
    """What comes before each start, restart and reload: errors that spoil the whole gateway stop it.

    Args:
        stack: as it is to run, with the config as it is now.
        progress: where the findings are shown when they stop it.
        force: go on in spite of them.

    Returns:
        One line for each warning and each error that does not stop it, for the result's warnings.

    Raises:
        GatewayError: E124, with all findings as data.
    """
    findings = lint_file(str(stack.config), context_of(stack)).findings
    serious = [finding for finding in findings if finding.severity != "info"]
    fatal = [finding for finding in serious if finding.fatal]
    if not fatal or force:
        return tuple(_line(finding) for finding in serious)
    progress.note(render.text(serious))
    first = fatal[0]
    more = f", and {len(fatal) - 1} more" if len(fatal) > 1 else ""
    raise GatewayError(
        "E124",
        f"The gateway cannot work with {stack.config}.",
        cause=f"{first.file}, line {first.line}: {first.message} ({first.id}){more}. {first.why} {first.fix}",
        next=f"llm-gateway lint {stack.config} shows everything again; --force starts all the same",
        data={"findings": [finding.as_dict() for finding in findings]},
    )


def _line(finding: Finding) -> str:
    place = f"{finding.file}:{finding.line}:{finding.column}"
    return f"{place}: {finding.severity} {finding.id} {finding.message}. {finding.fix}"


def models(file: str, context: LintContext | None = None) -> Result:
    """The verb `config models`: a table of the models of a config."""
    known = situation() if context is None else context
    linted = lint_file(file, known)
    if linted.document is None:
        data = {"findings": [finding.as_dict() for finding in linted.findings]}
        return Result("config models", data, render.text(linted.findings), exit_code=2)
    rows = [_row(model, linted.document, known) for model in linted.document.models]
    return Result("config models", {"models": rows}, _table(rows))


def _row(model: Model, document: Document, context: LintContext) -> dict[str, Any]:
    base = model.params.get("api_base") or model.params.get("base_url")
    return {
        "name": model.shown,
        "model": model.target,
        "provider": provider_of(model) or model.provider,
        "endpoint": "" if base is None else _without_password(str(base.value)),
        "mode": mode_of(model),
        "price_known": is_priced(model),
        "key": _key(model, document, context),
        "limits": {name: node.value for name in _LIMITS if (node := model.params.get(name)) is not None},
    }


def _without_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    return f"{head.split('://')[0]}://***@{tail}" if at and "://" in head else url


def _key(model: Model, document: Document, context: LintContext) -> str:
    """`set`, `not set` or `in the file`, with the variable's name; "" when the model names no key."""
    credential = model.params.text("litellm_credential_name")
    if credential:
        defined = any(entry.text("credential_name") == credential for entry in document.root.list("credential_list"))
        return f"credential {credential}" + ("" if defined else " (not defined)")
    node = model.params.get("api_key")
    if node is None:
        return ""
    text = str(node.value)
    if not text.startswith(REFERENCE):
        return "in the file"
    name = text.removeprefix(REFERENCE)
    return f"{name} {'set' if context.is_set(name) else 'not set'}"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("name", "provider", "endpoint", "mode", "price", "key", "limits")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        limits = ", ".join(f"{name} {value}" for name, value in row["limits"].items())
        price = "known" if row["price_known"] else "unknown"
        cells = (row["name"], row["provider"], row["endpoint"], row["mode"], price, row["key"], limits)
        lines.append(tuple(cell or "-" for cell in cells))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)
