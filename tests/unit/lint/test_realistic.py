"""No false alarms: starter configs and configs as people write them have no findings."""

import re
from pathlib import Path

import pytest

from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import BARE, context

ROOT = Path(__file__).resolve().parents[3]
REALISTIC = sorted((ROOT / "tests/fixtures/configs").glob("*.yaml"))
SERVICES = {
    "LANGFUSE_HOST": "http://langfuse:3000",
    "LANGFUSE_PUBLIC_KEY": "pk",
    "LANGFUSE_SECRET_KEY": "sk",
    "PRESIDIO_ANALYZER_API_BASE": "http://localhost:5001",
    "PRESIDIO_ANONYMIZER_API_BASE": "http://localhost:5002",
}


def everything_set(*texts):
    names = {name for text in texts for name in re.findall(r"os\.environ/(\w+)", text)}
    return context(variables={**dict.fromkeys(names, "value"), **SERVICES, **BARE})


def test_there_are_twenty():
    assert len(REALISTIC) >= 20


@pytest.mark.parametrize("path", [*REALISTIC, *sorted((ROOT / "configs").glob("*.yaml"))], ids=lambda path: path.stem)
def test_no_findings(path):
    parts = [part.read_text(encoding="utf-8") for part in path.parent.glob("parts/*.yaml")]
    linted = lint_file(str(path), everything_set(path.read_text(encoding="utf-8"), *parts))
    assert linted.document is not None
    assert linted.findings == ()
    assert linted.exit_code == 0


def test_a_provider_is_known_as_litellm_writes_it_and_only_so(tmp_path):
    names = {"gpt-4o": 0, "openai/anything": 0, "gpt-99-new": 1, "OpenAI/gpt-4o": 2, "my-model": 2, "meta-llama/x": 2}
    for name, severity in names.items():
        path = tmp_path / "config.yaml"
        path.write_text(f"model_list:\n  - {{model_name: m, litellm_params: {{model: {name}, api_key: none}}}}\n")
        findings = [finding for finding in lint_file(str(path), context()).findings if finding.id == "C055"]
        assert [finding.severity for finding in findings] == [[], ["warning"], ["error"]][severity], name


def test_an_action_that_makes_litellm_skip_the_guardrail_is_an_error(tmp_path):
    path = tmp_path / "config.yaml"
    text = (REALISTIC[0].parent / "presidio_guardrail.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("PERSON: MASK", "PERSON: mask"))
    (finding,) = lint_file(str(path), everything_set(text)).findings
    assert (finding.id, finding.severity, finding.fix) == ("C028", "error", "Did you mean MASK?")
