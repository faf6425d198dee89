"""What the rooms declare for the gateway, from plans alone; and the config that follows."""

import json
from dataclasses import replace

import pytest
import yaml

from llm_gateway.names import PROBE
from llm_gateway.services import wiring
from llm_gateway.services.base import Placement
from llm_gateway.services.callbacks import named
from llm_gateway.services.presidio_guardrail import SWAPPED
from llm_gateway.services.registry import BY_ID
from llm_gateway.services.upstreams import from_container, rewritten
from unit.test_plan import made

LANGFUSE = {
    "LANGFUSE_HOST": "https://traces.example",
    "LANGFUSE_PUBLIC_KEY": "pk-lf-own",
    "LANGFUSE_SECRET_KEY": "sk-lf-own",
}
PRESIDIO = {
    "PRESIDIO_ANALYZER_API_BASE": "http://pii.example:3000",
    "PRESIDIO_ANONYMIZER_API_BASE": "http://pii.example:3001",
}
QUIET = {"enable_langfuse": "false", "enable_redis": "false", "database": "false"}


def stack_for(tmp_path, config, *, flags=None, **given):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return replace(made(flags={**QUIET, **(flags or {})}, **given), config=path)


def effective(tmp_path, config, **given):
    return wiring.effective_config(stack_for(tmp_path, config, **given))[0]


# Langfuse


def test_a_langfuse_of_ones_own_is_wired(tmp_path):
    config = {"litellm_settings": {"success_callback": ["s3"]}}
    flags = {"enable_langfuse": "true"}
    section = effective(tmp_path, config, flags=flags, process=LANGFUSE)["litellm_settings"]
    assert section == {"success_callback": ["s3", "langfuse"], "failure_callback": ["langfuse"]}


def test_a_file_that_traces_successes_only_gets_its_failures_traced_too(tmp_path):
    config = {"litellm_settings": {"success_callback": ["langfuse"], "failure_callback": ["sentry"]}}
    section = effective(tmp_path, config, flags={"enable_langfuse": "true"}, process=LANGFUSE)["litellm_settings"]
    assert section == {"success_callback": ["langfuse"], "failure_callback": ["sentry", "langfuse"]}


@pytest.mark.parametrize(
    ("name", "callback"),
    [
        ("callbacks", "langfuse"),
        ("failure_callback", "langfuse"),
        *((name, "langfuse_otel") for name in ("callbacks", "success_callback", "failure_callback")),
    ],
)
def test_a_callback_of_langfuse_in_the_file_is_left_alone(tmp_path, name, callback):
    config = {"litellm_settings": {name: callback}}
    flags = {"enable_langfuse": "true"}
    assert effective(tmp_path, config, flags=flags, process=LANGFUSE)["litellm_settings"] == {name: callback}


def test_without_langfuse_nothing_is_traced(tmp_path):
    assert "litellm_settings" not in effective(tmp_path, {}, flags={}, process=LANGFUSE)


@pytest.mark.parametrize(
    ("file", "rendered", "where"),
    [
        (LANGFUSE, (), "external"),
        ({**LANGFUSE, "LANGFUSE_SECRET_KEY": ""}, (), "unavailable"),
        ({**LANGFUSE, "LANGFUSE_HOST": "http://localhost:3000"}, ("LANGFUSE_HOST",), "external"),
        ({"LANGFUSE_HOST": "http://localhost:3000"}, ("LANGFUSE_HOST",), "unavailable"),
        ({}, (), "unavailable"),
    ],
)
def test_where_langfuse_is(file, rendered, where):
    placement = made(file=file, rendered=rendered).placements["langfuse"]
    assert placement.where == where
    assert bool(placement.next) == (where == "unavailable")


def test_the_documented_keys_of_seed_004_are_no_sign_of_a_langfuse():
    assert made(flags={"start_with_defaults": True}).placements["langfuse"].where == "unavailable"


# Presidio


def real(config):
    """The config's guardrails, without the one that verify lets fail."""
    return [one for one in config["guardrails"] if one.get("guardrail_name") != SWAPPED]


@pytest.mark.parametrize("name", ["callbacks", "success_callback"])
def test_litellms_presidio_callback_becomes_a_guardrail_that_refuses(tmp_path, name):
    config = {"litellm_settings": {name: ["presidio", "other"]}, "guardrails": [{"guardrail_name": "mine"}]}
    result = effective(tmp_path, config)
    assert result["litellm_settings"] == {name: ["other"]}
    mine, added = real(result)
    assert mine == {"guardrail_name": "mine"}
    params = added["litellm_params"]
    assert (params["guardrail"], params["mode"], params["default_on"]) == ("presidio", "pre_call", True)
    assert params["presidio_filter_scope"] == "input"
    assert params["pii_entities_config"]["EMAIL_ADDRESS"] == "MASK"
    assert len(params["pii_entities_config"]) == 20


def test_what_was_said_to_the_callback_is_said_to_the_guardrail(tmp_path):
    recognizers = tmp_path / "more.json"
    recognizers.write_text(json.dumps([{"supported_entity": "STAFF_ID"}]), encoding="utf-8")
    config = {
        "litellm_settings": {"callbacks": "presidio", "output_parse_pii": True, "presidio_logging_only": True},
        "callback_settings": {
            "presidio": {
                "presidio_ad_hoc_recognizers": "more.json",
                "presidio_language": "it",
                "presidio_analyzer_api_base": "http://a",
                "pii_entities_config": {},
            }
        },
    }
    (guardrail,) = effective(tmp_path, config)["guardrails"]
    params = guardrail["litellm_params"]
    entities = params.pop("pii_entities_config")
    assert {"PERSON", "STAFF_ID", "IT_FISCAL_CODE"} <= set(entities)
    assert params == {
        "guardrail": "presidio",
        "mode": "logging_only",
        "default_on": True,
        "presidio_filter_scope": "input",
        "output_parse_pii": True,
        "presidio_ad_hoc_recognizers": str(recognizers),
        "presidio_language": "it",
        "presidio_analyzer_api_base": "http://a",
    }


def test_a_safe_guardrail_of_the_file_takes_the_callbacks_place(tmp_path):
    params = {
        "guardrail": "presidio",
        "mode": ["pre_call"],
        "default_on": True,
        "pii_entities_config": {"URL": "BLOCK"},
    }
    config = {"litellm_settings": {"callbacks": ["presidio"]}, "guardrails": [{"litellm_params": params}]}
    result = effective(tmp_path, config)
    assert real(result) == config["guardrails"]
    assert "callbacks" not in result["litellm_settings"]
    for unsafe in (
        {**params, "default_on": False},
        {**params, "mode": "during_call"},
        {**params, "pii_entities_config": {}},
    ):
        config["guardrails"] = [{"litellm_params": unsafe}]
        assert len(real(effective(tmp_path, config))) == 2


def test_a_presidio_of_ones_own_is_wired_when_it_is_enabled(tmp_path):
    flags = {"enable_presidio": "true"}
    stack = stack_for(tmp_path, {}, flags=flags, process=PRESIDIO)
    assert stack.placements["presidio"].where == "external"
    (guardrail,) = real(wiring.effective_config(stack)[0])
    assert guardrail["litellm_params"]["guardrail"] == "presidio"
    own = {"guardrails": [{"litellm_params": {"guardrail": "presidio", "default_on": False}}]}
    assert real(effective(tmp_path, own, flags=flags, process=PRESIDIO)) == own["guardrails"]
    assert "guardrails" not in effective(tmp_path, {}, process=PRESIDIO)


# What is said


def test_what_goes_against_the_file_is_said_and_what_is_added_is_not(tmp_path):
    config = {
        "litellm_settings": {"callbacks": ["presidio"], "success_callback": ["presidio"]},
        "general_settings": {"database_url": "postgresql://somebody:s3cretword@h/d"},
    }
    stack = stack_for(tmp_path, config)
    result, changes = wiring.effective_config(stack)
    assert "database_url" not in result["general_settings"]
    presidio, database = wiring.notes(stack)
    assert "litellm_settings.callbacks: presidio, litellm_settings.success_callback: presidio" in presidio
    assert "--as-is" in presidio
    assert "general_settings.database_url" in database
    assert "s3cretword" not in database
    assert {"set", "append", "remove"} == {change.operation for change in changes}


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"cache": False}, "cache is not true"),
        ({"cache_params": {"type": "redis"}}, "cache is not true"),
        ({"cache": True, "cache_params": {"type": "local"}}, "type is local"),
        ({"cache": True}, ""),
        ({"cache": True, "cache_params": {"type": "redis-semantic", "host": "search.example"}}, ""),
        ({}, ""),
    ],
)
def test_a_redis_that_the_config_does_not_use_is_named(tmp_path, section, says):
    stack = stack_for(tmp_path, {"litellm_settings": section}, flags={"enable_redis": "true"})
    notes = wiring.notes(stack)
    assert len(notes) == bool(says)
    if says:
        assert notes[0].startswith("Redis runs")
        assert says in notes[0]
        assert "--no-enable-redis" in notes[0]


def test_as_is_is_the_file_and_names_every_service_that_runs_for_nothing(tmp_path):
    config = {
        "include": ["more.yaml"],
        "litellm_settings": {"drop_params": True},
        "general_settings": {"database_url": "postgresql://h/d"},
    }
    (tmp_path / "more.yaml").write_text("litellm_settings: {}\n", encoding="utf-8")
    flags = {"as_is": True, "enable_redis": "true", "enable_langfuse": "true", "enable_presidio": "true"}
    stack = stack_for(tmp_path, config, flags=flags, process={**LANGFUSE, **PRESIDIO})
    assert wiring.effective_config(stack) == ({**config, "include": [str(tmp_path / "more.yaml")]}, [])
    notes = wiring.notes(stack)
    assert [note.split()[0] for note in notes] == ["Redis", "Langfuse", "Presidio", "general_settings.database_url"]
    used = "litellm_settings: {cache: true, callbacks: [presidio, langfuse_otel]}\n"
    (tmp_path / "more.yaml").write_text(used, encoding="utf-8")
    assert len(wiring.notes(stack)) == 1


def test_what_an_included_file_sets_wins_and_wiring_is_not_lost_by_it(tmp_path):
    (tmp_path / "more.yaml").write_text(
        "litellm_settings: {cache: false}\ngeneral_settings: {a: 1}\n", encoding="utf-8"
    )
    config = {"include": ["more.yaml"], "general_settings": {"b": 2}}
    result = effective(tmp_path, config, flags={"enable_redis": "true", "database": "true"})
    assert result["litellm_settings"] == {"cache": False}
    assert result["general_settings"]["a"] == 1
    assert result["general_settings"]["proxy_batch_write_at"] == 5
    assert not {"b", "include"} & {*result, *result["general_settings"]}


def test_the_writer_writes_where_it_is_told(tmp_path):
    stack = stack_for(tmp_path, {"general_settings": {"database_url": "x"}})
    target = tmp_path / "elsewhere.yaml"
    changes = wiring.write_effective(stack, target)
    assert yaml.safe_load(target.read_text(encoding="utf-8")) == wiring.effective_config(stack)[0]
    assert ("remove", ("general_settings", "database_url")) in [(c.operation, c.path) for c in changes]
    assert target.stat().st_mode & 0o777 == 0o600


def test_every_room_can_be_asked_about_odd_configs(tmp_path):
    odd = [
        {name: value}
        for name in ("litellm_settings", "guardrails", "general_settings")
        for value in ("x", [1], 3, None)
    ]
    odd += [
        {"litellm_settings": {name: value}}
        for name in ("callbacks", "cache_params")
        for value in ({"a": 1}, [1, None], 7)
    ]
    odd += [
        {"callback_settings": value, "litellm_settings": {"callbacks": ["presidio"]}}
        for value in (["x"], {"presidio": 1})
    ]
    odd += [{"model_list": [None, {"litellm_params": 3}, {"litellm_params": {"api_base": 3}}]}]
    flags = {"enable_redis": "true", "enable_langfuse": "true", "enable_presidio": "true"}
    for config in odd:
        stack = stack_for(tmp_path, config, flags=flags, process={**LANGFUSE, **PRESIDIO})
        wiring.effective_config(stack)
        wiring.notes(in_container(stack))
        for service in BY_ID.values():
            service.unused(stack, config)


def test_callbacks_by_name():
    settings = {"callbacks": "a", "success_callback": ["b", {"c": 1}], "failure_callback": None}
    assert named({"litellm_settings": settings}) == [("callbacks", "a"), ("success_callback", "b")]


# Upstreams on this machine


def in_container(stack):
    return replace(stack, placements={**stack.placements, "gateway": Placement("docker", "In a container.")})


@pytest.mark.parametrize(
    ("url", "moved"),
    [
        ("http://localhost:11434", "http://host:11434"),
        ("http://127.0.0.1:8000/v1", "http://host:8000/v1"),
        ("http://127.9.9.9", "http://host"),
        ("https://[::1]:8443/v1?x=1", "https://host:8443/v1?x=1"),
        ("http://0.0.0.0:8000", "http://host:8000"),
        ("http://user:pass@localhost:8000/v1", "http://user:pass@host:8000/v1"),
        ("localhost:9997/v1", "http://host:9997/v1"),
        ("http://LOCALHOST:1/", "http://host:1/"),
        ("http://localhost.example:1", ""),
        ("http://10.0.0.5:8000", ""),
        ("https://api.openai.com/v1", ""),
        ("http://localhost:port", ""),
        ("", ""),
    ],
)
def test_the_address_of_the_host(url, moved):
    assert rewritten(url, "host") == moved


def test_upstreams_of_this_machine_are_called_by_the_hosts_address_from_a_container(tmp_path):
    def model(**params):
        return {"model_name": "m", "litellm_params": params}

    config = {
        "model_list": [
            model(model="openai/a", api_base="http://localhost:8000/v1"),
            model(model="openai/b", base_url="http://127.0.0.1:8001/v1"),
            model(model="ollama_chat/c"),
            model(model="ollama/d", api_base="http://gpu.example:11434"),
            model(model="openai/e"),
            model(model="openai/f", api_base="os.environ/LOCAL_BASE"),
        ]
    }
    stack = stack_for(tmp_path, config, process={"LOCAL_BASE": "http://[::1]:9000/v1"})
    *models, probe = wiring.effective_config(stack)[0]["model_list"]
    assert (models, probe["model_name"]) == (config["model_list"], PROBE)
    result, changes = wiring.effective_config(in_container(stack))
    assert [entry["litellm_params"] for entry in result["model_list"][:-1]] == [
        {"model": "openai/a", "api_base": "http://host.docker.internal:8000/v1"},
        {"model": "openai/b", "base_url": "http://host.docker.internal:8001/v1"},
        {"model": "ollama_chat/c", "api_base": "http://host.docker.internal:11434"},
        {"model": "ollama/d", "api_base": "http://gpu.example:11434"},
        {"model": "openai/e"},
        {"model": "openai/f", "api_base": "http://host.docker.internal:9000/v1"},
    ]
    assert sum("container" in change.reason for change in changes) == 4
    as_is = in_container(stack_for(tmp_path, config, flags={"as_is": True}))
    assert wiring.effective_config(as_is)[0] == config


def test_ollamas_own_variable_counts_before_its_default():
    config = {"model_list": [{"model_name": "m", "litellm_params": {"model": "ollama/a"}}]}
    assert not list(from_container(config, {"OLLAMA_API_BASE": "http://gpu.example:11434"}))
    (setting,) = from_container(config, {"OLLAMA_API_BASE": "http://localhost:7000"})
    assert setting.value == "http://host.docker.internal:7000"
