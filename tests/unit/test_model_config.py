"""Loading a model config and completing it; the starter configs."""

import pytest
import yaml

from llm_gateway.errors import InputError
from llm_gateway.model_config.effective import anchor, complete, render
from llm_gateway.model_config.load import load, resolve_path
from llm_gateway.resources import resource
from llm_gateway.services.base import Setting


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "E122", "empty"),
        (b"- a\n- b\n", "E122", "list"),
        (b"just words", "E122", "str"),
        (b"model_list: {}\n", "E122", "model_list is not a list"),
        (b"a: 1\n\tb: 2\n", "E121", "line 2"),
        (b"a: [1, 2\n", "E121", "line 2"),
        (b"a: 'open\n", "E121", "line"),
        (b"a: &x 1\nb: *y\n", "E121", "undefined alias"),
        (b"a: !!python/object/apply:os.system [true]\n", "E121", "tag"),
        (b"a: \xff\n", "E120", "not UTF-8"),
        (b"#" * 5_000_001, "E120", "larger than 5 MB"),
    ],
)
def test_each_unusable_file_is_one_clear_error(tmp_path, content, code, says):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load(path)
    assert raised.value.problem.code == code
    assert says in raised.value.problem.message


def test_a_missing_file_and_a_directory(tmp_path):
    for path in (tmp_path / "nothing.yaml", tmp_path):
        with pytest.raises(InputError) as raised:
            load(path)
        assert raised.value.problem.code == "E120"


def test_a_path_is_looked_for_in_the_directory_and_then_in_the_home(tmp_path):
    here, home = tmp_path / "here", tmp_path / "home"
    for place in (here, home):
        place.mkdir()
        (place / "a.yaml").touch()
    (home / "b.yaml").touch()
    assert resolve_path("a.yaml", cwd=here, home=home) == here / "a.yaml"
    assert resolve_path("b.yaml", cwd=here, home=home) == home / "b.yaml"
    with pytest.raises(InputError) as raised:
        resolve_path("c.yaml", cwd=here, home=home)
    assert str(here) in raised.value.problem.cause
    assert str(home) in raised.value.problem.cause


def test_what_the_file_sets_wins():
    config = {"litellm_settings": {"cache": False}, "general_settings": None}
    settings = [
        Setting(("litellm_settings", "cache"), value=True, reason="a"),
        Setting(("general_settings", "proxy_batch_write_at"), value=5, reason="b"),
        Setting(("router_settings", "num_retries"), value=2, reason="c"),
    ]
    effective, added = complete(config, settings)
    assert effective == {
        "litellm_settings": {"cache": False},
        "general_settings": {"proxy_batch_write_at": 5},
        "router_settings": {"num_retries": 2},
    }
    assert [setting.reason for setting in added] == ["b", "c"]
    assert config == {"litellm_settings": {"cache": False}, "general_settings": None}


def test_a_section_that_is_no_mapping_is_left_to_litellm():
    effective, added = complete({"litellm_settings": "oops"}, [Setting(("litellm_settings", "x"), value=1, reason="")])
    assert (effective, added) == ({"litellm_settings": "oops"}, [])


def test_the_rendered_config_reads_back():
    config = {"model_list": [{"model_name": "größe", "litellm_params": {"model": "openai/x"}}]}
    text = render(config, source="/a/b.yaml")
    assert yaml.safe_load(text) == config
    assert "/a/b.yaml" in text.splitlines()[0]


def test_included_files_are_found_from_where_the_persons_file_stands(tmp_path):
    anchored = anchor({"include": ["models.yaml", "/etc/more.yaml"], "model_list": []}, tmp_path)
    assert anchored == {"include": [f"{tmp_path}/models.yaml", "/etc/more.yaml"], "model_list": []}
    assert anchor({"model_list": []}, tmp_path) == {"model_list": []}


@pytest.mark.parametrize("path", sorted(resource("configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_starter_configs_load_and_carry_no_key(path):
    config = load(path)
    assert config["model_list"]
    for entry in config["model_list"]:
        key = entry["litellm_params"].get("api_key", "none")
        assert key == "none" or key.startswith("os.environ/"), f"{path.name}: a key stands in the file"
        assert "mode" not in entry["litellm_params"]
