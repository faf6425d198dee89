"""Findings as text for people, and as annotations for GitHub's workflow logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.run import counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_gateway.model_config.lint.findings import Finding

_GITHUB = {"error": "error", "warning": "warning", "info": "notice"}


def text(findings: Sequence[Finding]) -> str:
    """One block a finding, and a line with the totals."""
    blocks = [
        f"{f.file}:{f.line}:{f.column}: {f.severity} {f.id} {f.message}\n    why  {f.why}\n    fix  {f.fix}"
        for f in findings
    ]
    return "\n".join([*blocks, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """`2 errors, 1 warning`."""
    if not findings:
        return "No findings."
    named = {"error": "error", "warning": "warning", "info": "note"}
    parts = [f"{n} {named[s]}{'' if n == 1 else 's'}" for s, n in counts(findings).items() if n]
    fixable = sum(1 for f in findings if f.edits)
    return ", ".join(parts) + (f"; --fix mends {fixable}" if fixable else "")


def github(findings: Sequence[Finding]) -> str:
    """Workflow commands, which GitHub shows at the lines of a pull request."""
    return "\n".join(
        f"::{_GITHUB[f.severity]} file={_property(f.file)},line={f.line},col={f.column},title={f.id}::"
        f"{_data(f'{f.message}. {f.why} Fix: {f.fix}')}"
        for f in findings
    )


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
