"""The configs of the documents that this project came from: each known mistake is explained."""

from pathlib import Path

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import context

SEEDS = Path(__file__).resolve().parents[2] / "fixtures/seeds"
PROXY = {"http": "http://127.0.0.1:7890", "https": "http://127.0.0.1:7890"}


@pytest.mark.parametrize(
    ("name", "where", "expected"),
    [
        ("000_lago", {}, {"C030", "C076", "C077", "C078"}),
        ("001_chart", {}, {"C005"}),
        ("003_tabs", {}, {"C006"}),
        ("001_values", {}, {"C018"}),
        (
            "002_models",
            {"proxies": PROXY, "variables": {"LITELLM_SALT_KEY": "sk-1234"}},
            {"C034", "C037", "C051", "C070", "C071", "C095"},
        ),
        ("002_compose", {}, {"C018", "C073"}),
        ("003_budgets", {}, {"C032", "C033", "C034", "C050", "C056", "C070", "C071", "C091", "C092"}),
        ("004_feature", {"variables": {"LITELLM_MASTER_KEY": "sk-password"}},
         {"C034", "C043", "C060", "C062", "C064", "C070", "C071", "C085", "C088"}),
    ],
)  # fmt: skip
def test_known_mistakes(name, where, expected):
    findings = lint_file(str(SEEDS / f"{name}.yaml"), context(**where)).findings
    assert expected <= {finding.id for finding in findings}


def test_seed_004_with_the_kits_services_needs_no_variables():
    where = {"enabled": frozenset({"gateway", "redis", "langfuse", "presidio"}), "start_with_defaults": True}
    findings = lint_file(
        str(SEEDS / "004_feature.yaml"), context(**where, variables={"LITELLM_MASTER_KEY": "sk-password"})
    )
    assert {f.id for f in findings.findings if f.severity == "error"} == set()
    assert {"C034", "C060", "C061", "C088"} <= {f.id for f in findings.findings}
