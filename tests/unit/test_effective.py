"""The effective config: operations, includes, what is shown of it."""

import copy

import pytest
import yaml

from llm_gateway.errors import InputError
from llm_gateway.model_config import changes as show
from llm_gateway.model_config import include
from llm_gateway.model_config.effective import as_yaml, complete, render
from llm_gateway.model_config.redaction import masked
from llm_gateway.services.base import Setting


def completed(config, *settings):
    """The completed config; the given one stays as it was."""
    before = copy.deepcopy(config)
    effective, changes = complete(config, settings)
    assert config == before
    return effective, changes


def test_what_the_file_sets_wins():
    effective, changes = completed(
        {"litellm_settings": {"cache": False, "ttl": None}, "general_settings": None},
        Setting(("litellm_settings", "cache"), value=True, reason="a"),
        Setting(("litellm_settings", "ttl"), value=5, reason="null is a word of the file, too"),
        Setting(("general_settings", "proxy_batch_write_at"), value=5, reason="b"),
        Setting(("router_settings", "num_retries"), value=2, reason="c"),
    )
    assert effective == {
        "litellm_settings": {"cache": False, "ttl": None},
        "general_settings": {"proxy_batch_write_at": 5},
        "router_settings": {"num_retries": 2},
    }
    assert [change.reason for change in changes] == ["b", "c"]


@pytest.mark.parametrize(
    ("present", "after"),
    [
        ({}, ["langfuse"]),
        ({"success_callback": ["x"]}, ["x", "langfuse"]),
        ({"success_callback": "x"}, ["x", "langfuse"]),
        ({"success_callback": None}, ["langfuse"]),
        ({"success_callback": ["langfuse", "x"]}, None),
        ({"success_callback": {"odd": 1}}, None),
    ],
)
def test_append_puts_a_member_into_a_list_once(present, after):
    setting = Setting(("litellm_settings", "success_callback"), "langfuse", "r", "append")
    effective, changes = completed({"litellm_settings": present}, setting)
    expected = present if after is None else {"success_callback": after}
    assert effective == {"litellm_settings": expected}
    assert len(changes) == (after is not None)


@pytest.mark.parametrize(
    ("present", "after"),
    [
        (["presidio", "x", "presidio"], ["x"]),
        (["presidio"], "gone"),
        ("presidio", "gone"),
        (["x"], None),
        (None, None),
    ],
)
def test_remove_takes_a_member_out_of_a_list(present, after):
    setting = Setting(("litellm_settings", "callbacks"), "presidio", "r", "remove")
    effective, changes = completed({"litellm_settings": {"callbacks": present, "y": 1}}, setting)
    expected = {"y": 1} if after == "gone" else {"callbacks": present if after is None else after, "y": 1}
    assert effective == {"litellm_settings": expected}
    assert [change.before for change in changes] == (["presidio"] if after else [])


def test_remove_and_replace_find_what_is_there_and_nothing_else():
    config = {"model_list": [{"litellm_params": {"api_base": "http://a"}}, "odd"], "general_settings": {"x": 1}}
    effective, changes = completed(
        config,
        Setting(("general_settings", "x"), None, "r", "remove"),
        Setting(("general_settings", "y"), None, "r", "remove"),
        Setting(("nowhere", "y"), None, "r", "remove"),
        Setting(("model_list", 0, "litellm_params", "api_base"), "http://b", "r", "replace"),
        Setting(("model_list", 0, "litellm_params", "base_url"), "http://b", "r", "replace"),
        Setting(("model_list", 1, "litellm_params", "api_base"), "http://b", "r", "replace"),
        Setting(("model_list", 7, "litellm_params", "api_base"), "http://b", "r"),
    )
    assert effective == {
        "model_list": [{"litellm_params": {"api_base": "http://b"}}, "odd"],
        "general_settings": {},
    }
    assert [(change.operation, change.before, change.after) for change in changes] == [
        ("remove", 1, None),
        ("replace", "http://a", "http://b"),
    ]


def test_settings_are_applied_in_their_order():
    path = ("litellm_settings", "callbacks")
    last, first = Setting(path, "last", "r", "append", order=1), Setting(path, "first", "r", "append")
    assert completed({}, last, first)[0] == {"litellm_settings": {"callbacks": ["first", "last"]}}


def test_a_section_that_is_no_mapping_is_left_to_litellm():
    path = ("litellm_settings", "x")
    for operation in ("set", "append", "replace", "remove"):
        effective, changes = completed({"litellm_settings": "oops"}, Setting(path, 1, "", operation))
        assert (effective, changes) == ({"litellm_settings": "oops"}, [])


def test_the_rendered_config_reads_back():
    shared = {"drop": True}
    config = {"model_list": [{"model_name": "größe", "a": shared}, {"model_name": "b", "a": shared}]}
    text = render(config, source="/a/b.yaml")
    assert yaml.safe_load(text) == config
    assert "/a/b.yaml" in text.splitlines()[0]
    assert "&id" not in text


def written(directory, name, **content):
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_included_files_are_merged_as_litellm_does(tmp_path):
    root = written(
        tmp_path,
        "root.yaml",
        include=["parts/one.yaml", "two.yaml"],
        model_list=[1],
        litellm_settings={"cache": True},
        general_settings=None,
    )
    written(
        tmp_path, "parts/one.yaml", include=["three.yaml", "../root.yaml"], model_list=[2], general_settings={"a": 1}
    )
    written(tmp_path, "two.yaml", litellm_settings={"drop_params": True}, model_list=[3])
    written(tmp_path, "three.yaml", model_list=[4])  # beside the root only
    assert include.read(root) == {
        "model_list": [1, 2, 3, 4],
        "litellm_settings": {"drop_params": True},
        "general_settings": {"a": 1},
    }


@pytest.mark.parametrize(
    ("value", "code"), [("two.yaml", "E123"), ([1], "E123"), (None, "E123"), (["gone.yaml"], "E120")]
)
def test_an_include_that_cannot_be_followed(tmp_path, value, code):
    with pytest.raises(InputError) as raised:
        include.read(written(tmp_path, "root.yaml", include=value))
    assert raised.value.problem.code == code


def test_included_files_are_found_from_where_the_persons_file_stands(tmp_path):
    anchored = include.anchor({"include": ["models.yaml", "/etc/more.yaml"], "model_list": []}, tmp_path)
    assert anchored == {"include": [f"{tmp_path}/models.yaml", "/etc/more.yaml"], "model_list": []}
    assert include.anchor({"model_list": []}, tmp_path) == {"model_list": []}


SECRET = "sk-live-0123456789abcdef"


def test_no_secret_is_shown():
    config = {
        "model_list": [{"litellm_params": {"api_key": SECRET, "api_base": "http://x"}}],
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "database_url": f"postgresql://u:{SECRET}@h/d",
        },
        "environment_variables": {"LANGFUSE_SECRET_KEY": SECRET},
    }
    shown = masked(config)
    assert SECRET not in as_yaml(shown)
    assert shown["model_list"][0]["litellm_params"]["api_base"] == "http://x"
    assert shown["general_settings"]["master_key"] == "os.environ/LITELLM_MASTER_KEY"
    _, changes = complete(
        config,
        [
            Setting(("general_settings", "database_url"), None, "r", "remove"),
            Setting(("litellm_settings", "cache_params"), {"password": SECRET, "type": "redis"}, "r"),
        ],
    )
    assert len(changes) == 2
    assert SECRET not in "\n".join(show.diff(changes))
    assert SECRET not in str(show.as_data(changes))


def test_the_difference_names_the_reason_once_for_the_lines_it_explains():
    guardrail = {
        "guardrail_name": "g",
        "litellm_params": dict.fromkeys(("a", "b", "c", "d"), "something of some length"),
    }
    _, changes = complete(
        {"litellm_settings": {"callbacks": ["presidio"]}},
        [
            Setting(("litellm_settings", "callbacks"), "presidio", "why", "remove"),
            Setting(("guardrails",), guardrail, "why", "append"),
            Setting(("litellm_settings", "cache"), value=True, reason="other"),
        ],
    )
    lines = show.diff(changes)
    assert lines[:3] == ["# why", "- litellm_settings.callbacks[]: presidio", "+ guardrails[]:"]
    assert lines[3] == "+   guardrail_name: g"
    assert lines[-2:] == ["# other", "+ litellm_settings.cache: true"]
    assert show.as_data(changes)[0] == {
        "path": "litellm_settings.callbacks",
        "operation": "remove",
        "before": "presidio",
        "after": None,
        "reason": "why",
    }
