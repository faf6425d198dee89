"""The one list of rules, and running them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from llm_gateway.model_config.lint.findings import Edit, Finding, Position, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document, Node

_MODULES = (
    "shape",
    "required",
    "environment",
    "keys",
    "references",
    "models",
    "cache",
    "tracing",
    "billing",
    "guardrails",
    "network",
)
_ALLOWED = re.compile(r"#.*\blint: allow ((?:C\d{3}[ ,]*)+)")


class Found(NamedTuple):
    """What a rule reports; its id, severity, reason and `fatal` are the rule's own unless it says otherwise."""

    at: Position
    message: str
    fix: str
    severity: Severity | None = None
    edits: tuple[Edit, ...] = ()
    fatal: bool | None = None


if TYPE_CHECKING:
    Check = Callable[[Document, LintContext], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: `C` and three digits.
        severity: unless a finding says otherwise.
        title: what is found, for the documents.
        why: why it matters, for every finding.
        check: the function; None where reading the file finds it.
        fatal: does an error of this rule spoil the whole gateway? See `Finding`.
    """

    id: str
    severity: Severity
    title: str
    why: str
    check: Check | None = None
    fatal: bool = False


RULES: dict[str, Rule] = {}


def rule(id_: str, severity: Severity, title: str, *, why: str, fatal: bool = False) -> Callable[[Check], Check]:
    """Make a function a rule."""

    def decorate(check: Check) -> Check:
        _add(Rule(id_, severity, title, why, check, fatal))
        return check

    return decorate


def declare(id_: str, severity: Severity, title: str, *, why: str) -> Rule:
    """A rule that reading the file decides; its errors are about the whole file."""
    return _add(Rule(id_, severity, title, why, fatal=severity == "error"))


def _add(new: Rule) -> Rule:
    if new.id in RULES:
        raise ValueError(f"{new.id} stands twice")
    RULES[new.id] = new
    return new


def load_rules() -> dict[str, Rule]:
    """Every rule by id, in order."""
    import_module("llm_gateway.model_config.lint.reading")
    for module in _MODULES:
        import_module(f"llm_gateway.model_config.lint.rules.{module}")
    return dict(sorted(RULES.items()))


def finding(id_: str, found: Found) -> Finding:
    """What a rule reports as a finding."""
    known = RULES[id_]
    file, line, column = found.at
    severity = found.severity or known.severity
    fatal = severity == "error" and (known.fatal if found.fatal is None else found.fatal)
    return Finding(id_, severity, file, line, column, found.message, known.why, found.fix, found.edits, fatal)


def check_document(document: Document, context: LintContext) -> list[Finding]:
    """All findings about a readable config, without those that a comment on their line allows."""
    seen: dict[tuple[object, ...], Finding] = {}
    for known in load_rules().values():
        if known.check is None:
            continue
        for found in known.check(document, context):
            allowed = _ALLOWED.search(document.line(found.at))
            if not allowed or known.id not in allowed[1]:
                seen.setdefault((known.id, *found.at, found.message), finding(known.id, found))
    return list(seen.values())


def key_edit(mapping: Node, name: str) -> tuple[Edit, ...]:
    """Remove a key."""
    return (Edit("delete", (*mapping.path, name)),)
