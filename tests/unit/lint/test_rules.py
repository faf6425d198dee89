"""Every rule finds its failing case and leaves its passing one alone."""

import pytest

from llm_gateway.model_config.lint.registry import load_rules
from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import CASES, Case, context

# What is no file with a text has its own tests in test_reading.py.
WITHOUT_CASE = {"C001", "C002"}


def found(folder, content, case: Case, where):
    for name, text in case.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    path = folder / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return lint_file(str(path), context(**where)).findings


def test_every_rule_has_a_case():
    assert set(load_rules()) - set(CASES) == WITHOUT_CASE
    assert set(CASES) <= set(load_rules())


@pytest.mark.parametrize("rule", sorted(CASES))
def test_failing_fixture(rule, tmp_path):
    case = CASES[rule]
    findings = [finding for finding in found(tmp_path, case.bad, case, case.where) if finding.id == rule]
    assert findings
    assert all(finding.message and finding.why and finding.fix for finding in findings)
    assert all(finding.line >= 1 and finding.column >= 1 for finding in findings)


@pytest.mark.parametrize("rule", sorted(CASES))
def test_passing_fixture(rule, tmp_path):
    case = CASES[rule]
    where = case.where if case.where_good is None else case.where_good
    findings = found(tmp_path, case.good, case, where)
    assert [finding for finding in findings if finding.id == rule] == []
    assert [finding for finding in findings if finding.severity == "error"] == []
