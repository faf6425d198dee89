"""Lint one file: read, check, sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_gateway.model_config.lint.reading import read
from llm_gateway.model_config.lint.registry import check_document

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_gateway.model_config.lint.context import LintContext
    from llm_gateway.model_config.lint.document import Document
    from llm_gateway.model_config.lint.findings import Finding

_ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Linted:
    """What the lint says about one file. `document` is None when the file cannot be used at all."""

    file: str
    document: Document | None
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """0 clean or warnings only, 1 errors, 2 unusable."""
        if self.document is None:
            return 2
        return 1 if any(finding.severity == "error" for finding in self.findings) else 0


def lint_file(file: str, context: LintContext) -> Linted:
    """Every finding about a config and what it includes, in the order of the lines."""
    document, findings = read(file)
    if document is not None:
        findings = findings + check_document(document, context)
    return Linted(
        file, document, tuple(sorted(findings, key=lambda f: (f.file != file, f.file, f.line, f.column, f.id)))
    )


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each severity."""
    total = dict.fromkeys(_ORDER, 0)
    for finding in findings:
        total[finding.severity] += 1
    return total
