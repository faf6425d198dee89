"""What `start` does with the lint: what spoils the whole gateway stops it, the rest is said. Nothing is started."""

import pytest

from llm_gateway.errors import GatewayError
from llm_gateway.model_config.lint.run import lint_file
from llm_gateway.progress import Progress
from llm_gateway.verbs.context import open_context, planned_stack
from llm_gateway.verbs.lint import context_of, refuse_mistakes
from llm_gateway.verbs.start import check
from support.lint_cases import MODEL, params, settings

BROKEN = settings("callbacks: [langfus]")
SPOILT = params("api_base: 'http://localhost:11434/v1'", "ollama/llava")


@pytest.fixture
def situation(tmp_path):
    """Makes the context of a person who starts a config with this text, this `.env` and these variables."""
    home = tmp_path / "home"

    def make(text, *, env="", **variables):
        config = tmp_path / "config.yaml"
        config.write_text(text, encoding="utf-8")
        if env:
            (home / "state").mkdir(parents=True)
            (home / "state/.env").write_text(env)
        environ = {"LLM_GATEWAY_HOME": str(home), "LLM_GATEWAY_AUTO_PORTS": "true", "OPENAI_API_KEY": "x", **variables}
        return open_context({"config_file": str(config)}, progress=Progress(quiet=False), environ=environ)

    return make


def passed(here, *, force=False):
    return refuse_mistakes(planned_stack(here), progress=here.progress, force=force)


def test_errors_stop_with_place_reason_and_way_out(situation, capsys):
    here = situation(BROKEN)
    with pytest.raises(GatewayError) as caught:
        passed(here)
    problem = caught.value.problem
    assert (problem.code, caught.value.exit_code) == ("E124", 1)
    assert str(here.config) in problem.message
    assert f"{here.config}, line 5" in problem.cause
    assert "C044" in problem.cause
    assert f"llm-gateway lint {here.config}" in problem.next
    assert "--force" in problem.next
    assert [finding["id"] for finding in caught.value.data["findings"]] == ["C044"]
    assert f"{here.config}:5:15: error C044" in capsys.readouterr().err


def test_force_says_the_error_and_goes_on(situation, capsys):
    (line,) = passed(situation(BROKEN), force=True)
    assert ":5:15: error C044 " in line
    assert capsys.readouterr().err == ""


def test_an_error_that_spoils_one_model_stops_nothing(situation):
    here = situation(SPOILT)
    (finding,) = lint_file(str(here.config), context_of(planned_stack(here))).findings
    assert (finding.id, finding.severity, finding.fatal) == ("C051", "error", False)
    (line,) = passed(here)
    assert "error C051" in line


def test_warnings_are_given_and_notes_are_not(situation):
    lines = passed(situation(settings("drop_parms: true\ncallbacks: [prometheus]")))
    assert ["C021" in line for line in lines] == [True]


def test_what_the_kit_generates_counts_as_set(situation):
    text = settings(
        "master_key: os.environ/LITELLM_MASTER_KEY\ndatabase_url: os.environ/DATABASE_URL", "general_settings"
    )
    assert passed(situation(text)) == ()


def test_a_variable_that_nobody_sets_does_not(situation):
    with pytest.raises(GatewayError, match="E124"):
        passed(situation(settings("master_key: os.environ/NOBODY_SETS_THIS", "general_settings")))


def test_a_variable_of_the_env_file_counts(situation):
    text = MODEL.replace("OPENAI_API_KEY", "FROM_THE_FILE")
    assert len(passed(situation(text))) == 1
    assert passed(situation(text, env="FROM_THE_FILE=x\n")) == ()


def test_the_database_is_not_there_when_it_is_off(situation):
    text = settings("database_url: os.environ/DATABASE_URL", "general_settings")
    lines = passed(situation(text, LLM_GATEWAY_DATABASE="false", DATABASE_URL="postgresql://elsewhere"))
    assert len(lines) == 1
    assert "error C030 DATABASE_URL" in lines[0]


def test_local_addresses_are_excepted_from_a_proxy(situation):
    text = params("api_key: none, api_base: 'http://localhost:8000/v1'", "openai/own")
    known = context_of(planned_stack(situation(text, HTTP_PROXY="http://proxy.example:3128")))
    assert "localhost" in known.proxies["no"]


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        (MODEL, "warning"),
        (settings("master_key: os.environ/LITELLM_MASTER_KEY", "general_settings"), "warning"),
        (settings("master_key: sk-password", "general_settings"), "error"),
    ],
    ids=["in .env", "named", "in the config"],
)
def test_a_known_key_on_loopback_stops_nothing(situation, text, severity):
    here = situation(text, env="LITELLM_MASTER_KEY=sk-password\nLITELLM_SALT_KEY=0123456789abcdef-salt\n")
    assert any(f"{severity} C034" in line for line in passed(here))


def test_a_known_key_that_others_could_use_stops(situation):
    here = situation(settings("master_key: sk-password", "general_settings"), LLM_GATEWAY_BIND="0.0.0.0")
    with pytest.raises(GatewayError, match="E124"):
        passed(here)


def test_the_key_that_litellm_refuses_stops(situation):
    with pytest.raises(GatewayError, match="E124"):
        passed(situation(MODEL, env="LITELLM_MASTER_KEY=sk-1234\n"))


def test_a_restart_is_refused_before_it_stops_anything(situation):
    here = situation(BROKEN)
    with pytest.raises(GatewayError, match="E124"):
        check(here)
    check(here, force=True)
