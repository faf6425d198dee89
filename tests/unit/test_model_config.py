"""Loading a model config and completing it; the starter configs."""

import pytest

from llm_gateway.errors import InputError
from llm_gateway.model_config.load import load, resolve_path
from llm_gateway.resources import resource


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


@pytest.mark.parametrize("path", sorted(resource("configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_starter_configs_load_and_carry_no_key(path):
    config = load(path)
    assert config["model_list"]
    for entry in config["model_list"]:
        key = entry["litellm_params"].get("api_key", "none")
        assert key == "none" or key.startswith("os.environ/"), f"{path.name}: a key stands in the file"
        assert "mode" not in entry["litellm_params"]
