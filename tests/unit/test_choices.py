"""Options and settings: precedence, sources, refusals."""

import json

import pytest

from llm_gateway.choices import Choice, resolve
from llm_gateway.errors import InputError
from llm_gateway.options import options
from llm_gateway.resources import resource
from llm_gateway.verbs.context import catalogue


def resolved(*, flags=None, environ=None, saved=None):
    return resolve(catalogue(), flags=flags or {}, environ=environ or {}, saved=saved or {})


def test_precedence_flag_variable_saved_default():
    saved, environ, flags = {"enableRedis": False}, {"LLM_GATEWAY_ENABLE_REDIS": "true"}, {"enable_redis": False}
    assert resolved().source("enableRedis") == "default"
    assert (resolved(saved=saved)["enableRedis"], resolved(saved=saved).source("enableRedis")) == (
        False,
        "state/options.json",
    )
    assert resolved(saved=saved, environ=environ)["enableRedis"] is True
    assert resolved(saved=saved, environ=environ).source("enableRedis") == "LLM_GATEWAY_ENABLE_REDIS"
    assert resolved(saved=saved, environ=environ, flags=flags).source("enableRedis") == "flag"


def test_an_empty_variable_chooses_nothing():
    assert resolved(environ={"LLM_GATEWAY_WORKERS": " "}, saved={"workers": 3})["workers"] == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LLM_GATEWAY_ENABLE_REDIS", "maybe"),
        ("LLM_GATEWAY_ENABLE_REDIS", "$(touch x)"),
        ("LLM_GATEWAY_ENGINE", "podman"),
        ("LLM_GATEWAY_GATEWAY_PORT", "70000"),
        ("LLM_GATEWAY_GATEWAY_PORT", "-1"),
        ("LLM_GATEWAY_GATEWAY_PORT", "٤٠٠٠٠٠٠٠"),
        ("LLM_GATEWAY_TIMEOUT", "0"),
        ("LLM_GATEWAY_WORKERS", "two"),
        ("LLM_GATEWAY_PUBLIC_URL", "http://a\x07b"),
    ],
)
def test_bad_values_name_their_source(name, value):
    with pytest.raises(InputError) as raised:
        resolved(environ={name: value})
    assert raised.value.problem.code == "E105"
    assert name in raised.value.problem.message


def test_a_misspelt_option_variable_is_not_ignored():
    with pytest.raises(InputError) as raised:
        resolved(environ={"LLM_GATEWAY_ENABLE_REDDIS": "false"})
    assert "LLM_GATEWAY_ENABLE_REDIS" in raised.value.problem.message


def test_the_three_spellings_are_one_choice():
    choice = next(c for c in options() if c.id == "startWithDefaults")
    assert (choice.flag, choice.variable, choice.parameter) == (
        "--start-with-defaults",
        "LLM_GATEWAY_START_WITH_DEFAULTS",
        "start_with_defaults",
    )


def test_options_are_the_features_file():
    feature = json.loads(resource("devcontainer-feature.json").read_text())
    assert [c.id for c in options()] == list(feature["options"])
    seed = {"enablePresidio": False, "enableRedis": True, "enableLangfuse": True, "startWithDefaults": False}
    assert {c.id: c.default for c in options() if c.id in seed} == seed


def test_ids_and_flags_are_unique():
    everything = catalogue()
    for names in ([c.id for c in everything], [c.flag for c in everything], [c.variable for c in everything]):
        assert len(names) == len(set(names))


def test_only_lasting_choices_are_remembered():
    choices = resolved(flags={"debug": True, "timeout": "9", "workers": "2"})
    assert choices.remembered() == {"workers": 2}


def test_parse_accepts_what_json_and_shells_give():
    boolean = Choice("x", "boolean", default=False, description="")
    assert [boolean.parse(raw, source="s") for raw in (True, "TRUE", "0", "off")] == [True, True, False, False]
