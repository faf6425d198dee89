"""Loading a model config and completing it; the starter configs."""

import pytest
import yaml

from llm_gateway.errors import InputError
from llm_gateway.model_config.load import load, resolve_path
from llm_gateway.resources import resource

BOMB = "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
).encode()
MERGED = "".join(
    f"{b}: &{b} {{<<: [{{k: [{', '.join(['*' + a] * 9)}]}}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
).encode()
CHAIN = "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, 400)).encode()


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
        (b"a: 1\n---\nb: 2\n", "E121", "document"),
        (b"x: &x [*x]\n", "E121", "line 1, column 4: this anchor contains itself"),
        (b"x: &x {<<: *x}\n", "E121", "contains itself"),
        (b"a: &a [1]\n" + BOMB, "E121", "expand this to more than"),
        (b"a: &a " + b"x" * 2_000_000 + b"\nb: [" + b"*a, " * 1000 + b"]\n", "E121", "expand this to more than"),
        (b"a: &a {? " + b"x" * 2_000_000 + b" : 1}\nb: [" + b"*a, " * 1000 + b"]\n", "E121", "more than"),
        (b"a: &a {k: [1, 1, 1, 1, 1, 1, 1, 1, 1]}\n" + MERGED, "E121", "expand this to more than"),
        (b"l0: &l0 [1]\n" + CHAIN, "E121", "more than 64 levels"),
        (b"api_version: 2024-13-45\n", "E121", "looks like a date"),
        (b"a: {[1]: 2}\n", "E121", "as a key"),
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


def test_anchors_and_all_that_the_safe_loader_knows_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "base: &b {a: 1}\nc: {<<: *b, d: [*b, *b]}\nm: {<<: [*b, {e: 1}]}\nv: 2024-10-21\n"
        "s: !!set {x, y}\nr: !!binary aGk=\no: !!omap [k: 1]\n1: null\n",
        encoding="utf-8",
    )
    with path.open(encoding="utf-8") as stream:
        assert load(path) == yaml.safe_load(stream)
