"""Reading and writing `.env`."""

import shlex

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from llm_gateway import dotenv
from llm_gateway.errors import InputError

PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="'\u2028\u2029\x85"), max_size=40)


@given(PRINTABLE)
def test_any_printable_value_survives(value):
    text = dotenv.render([("Title", [dotenv.Line("NAME", value, "What it is.")])])
    assert dotenv.parse(text, path="-") == {"NAME": value}


ASCII = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"], exclude_characters="'"))


@given(value=ASCII)
def test_python_dotenv_reads_the_same(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("env") / ".env"
    path.write_text(f"NAME={dotenv.quote('NAME', value)}\n", encoding="utf-8")
    assert dotenv_values(path, interpolate=False) == {"NAME": value}


@given(value=ASCII.filter(lambda value: "\\" not in value))
def test_a_shell_reads_the_same(value):
    assert shlex.split(f"NAME={dotenv.quote('NAME', value)}") == [f"NAME={value}"]


def test_generated_values_need_no_quotes():
    for value in ("sk-aB3_-", "postgresql://a:b@h:5432/d?sslmode=verify-full&x=~/y", ""):
        assert dotenv.quote("NAME", value) == value


@pytest.mark.parametrize("value", ["it's", "two\nlines", "nul\0", "carriage\rreturn"])
def test_values_that_readers_disagree_on_are_refused(value):
    with pytest.raises(InputError) as raised:
        dotenv.quote("NAME", value)
    assert raised.value.problem.code == "E110"
    assert value not in raised.value.problem.message


@pytest.mark.parametrize(
    ("text", "line"),
    [('A=1\nB="hush\n', 2), ("A=1\nhush now\n", 2), ("A=1\n\n=3\n", 3)],
)
def test_a_bad_line_is_named_without_its_content(tmp_path, text, line):
    path = tmp_path / ".env"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        dotenv.read(path)
    assert raised.value.problem.code == "E111"
    assert f"line {line}" in raised.value.problem.message
    assert "hush" not in str(raised.value.problem)


@pytest.mark.parametrize(
    "make", [lambda p: p.mkdir(), lambda p: p.write_bytes(b"A=\xff\n"), lambda p: p.write_bytes(b"#" * 1_100_000)]
)
def test_a_file_that_is_no_env_is_one_error(tmp_path, make):
    path = tmp_path / ".env"
    make(path)
    with pytest.raises(InputError) as raised:
        dotenv.read(path)
    assert raised.value.problem.code == "E112"


def test_amend_changes_only_what_it_should():
    text = '# mine\nA="1" # one\nexport B=2\nC=3\n'
    changed = dotenv.amend(text, replace={"B": "22"}, append=[dotenv.Line("D", "4", "The fourth.")])
    assert changed == '# mine\nA="1" # one\nB=22\nC=3\n\n# --- Added by llm-gateway\n# The fourth.\nD=4\n'


def test_an_empty_value_never_hides_a_set_one():
    environment = dotenv.Environment(process={"A": "", "B": "process"}, file={"A": "file", "B": "file", "C": ""})
    assert (environment.get("A"), environment.source("A")) == ("file", ".env")
    assert (environment.get("B"), environment.source("B")) == ("process", "process")
    assert environment.merged() == {"A": "file", "B": "process", "C": ""}
    assert environment.known("C")
    assert not environment.known("D")
