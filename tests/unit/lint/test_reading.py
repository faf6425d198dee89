"""What cannot be read, and that every place is right: merges, anchors, includes."""

import os

import pytest

from llm_gateway.model_config.lint.reading import read
from llm_gateway.model_config.lint.run import lint_file
from support.lint_cases import MODEL, context, settings


def write(folder, text, name="config.yaml"):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def only(file):
    """The one finding about an unusable file."""
    linted = lint_file(file, context())
    assert linted.document is None
    assert linted.exit_code == 2
    (finding,) = linted.findings
    return finding


def test_a_file_that_is_not_there(tmp_path):
    assert only(str(tmp_path / "gone.yaml")).id == "C001"


def test_a_name_with_a_nul():
    assert only("config\0.yaml").id == "C001"


def test_a_directory_as_docker_makes_it(tmp_path):
    (tmp_path / "config.yml").mkdir()
    finding = only(str(tmp_path / "config.yml"))
    assert finding.id == "C002"
    assert "container" in finding.fix


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert only(str(tmp_path / "pipe")).id == "C001"


def test_the_byte_that_is_not_utf8(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    finding = only(str(tmp_path / "config.yaml"))
    assert (finding.id, finding.line, finding.column) == ("C004", 2, 7)


def test_a_file_with_a_byte_order_mark_is_fine(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbf" + MODEL.encode())
    assert lint_file(str(tmp_path / "config.yaml"), context()).findings == ()


@pytest.mark.parametrize(
    ("text", "id_", "line"),
    [
        ("a: [1, 2\nb: 3\n", "C005", 2),
        ("a: b: c\n", "C005", 1),
        ("a: 'open\n", "C005", 2),
        ("a: *nowhere\n", "C005", 1),
        ("a: 1\n---\nb: 2\n", "C005", 2),
        ("a: \x01\n", "C005", 1),
        ("%YAML 9.9\n---\na: 1\n", "C005", 1),
        ("model_list:\n  - a: 1\n\t  b: 2\n", "C006", 3),
        ("a: 1\t# aside\n", "C006", 1),
        ("a:\tb\n", "C006", 1),
        ("", "C007", 1),
        ("---\n...\n", "C007", 1),
        ("null\n", "C007", 1),
        ("- 1\n", "C008", 1),
        ("just words\n", "C008", 1),
        ("a: &a [*a]\n", "C009", 1),
        ("a: &a {b: *a}\n", "C009", 1),
        ("a: !!python/object:os.system x\n", "C012", 1),
        ("a: !Custom {b: 1}\n", "C012", 1),
        ("a: !Custom [b]\n", "C012", 1),
        ("{[a]: b}\n", "C012", 1),
        ("a: 2024-13-45\n", "C012", 1),
        ("a:\n  <<: text\n", "C012", 2),
        ("- " * 500 + "x\n", "C010", 1),
        ("? " * 500 + "x\n", "C010", 1),
    ],
)
def test_one_clear_finding(tmp_path, text, id_, line):
    finding = only(write(tmp_path, text))
    assert (finding.id, finding.line) == (id_, line)


def test_a_merge_is_no_duplicate_and_its_places_are_the_anchors(tmp_path):
    text = (
        "x-shared: &shared\n"
        "  temprature: 1\n"
        "  api_key: os.environ/OPENAI_API_KEY\n"
        "model_list:\n"
        "  - model_name: a\n"
        "    litellm_params:\n"
        "      <<: *shared\n"
        "      model: openai/gpt-4o\n"
        "      api_key: os.environ/OPENAI_API_KEY\n"
    )
    found = [(f.id, f.line, f.column) for f in lint_file(write(tmp_path, text), context()).findings]
    assert found == [("C022", 2, 3)]


def test_the_first_of_several_merges_wins(tmp_path):
    text = "a: &a {k: 1}\nb: &b {k: 2, l: 3}\nc: {<<: [*a, *b], m: 4}\n"
    document, _ = read(write(tmp_path, text))
    assert document.root.plain()["c"] == {"m": 4, "k": 1, "l": 3}


def test_values_are_those_of_the_safe_loader(tmp_path):
    yaml = pytest.importorskip("yaml")
    text = (
        "a: yes\nb: 0o17\nc: 1_000\nd: 1e3\ne: 1.5\nf: ~\ng: 'x'\nh: 2024-02-01\ni: 0x1F\nj: .inf\nk: 1:30\non: off\n"
    )
    document, _ = read(write(tmp_path, text))
    expected = yaml.safe_load(text)
    assert document.root.plain() == {"on" if key is True else key: value for key, value in expected.items()}


def test_duplicates_that_drop_a_section_are_errors(tmp_path):
    text = settings("drop_params: true") + "litellm_settings:\n  num_retries: 2\n"
    finding = next(f for f in lint_file(write(tmp_path, text), context()).findings if f.id == "C011")
    assert (finding.severity, finding.line) == ("error", 6)
    assert "line 4" in finding.message


def test_findings_point_into_included_files(tmp_path):
    write(
        tmp_path, "model_list:\n  - model_name: b\n    litellm_params: {model: openai/gpt-4o, rpm: 0}\n", "parts/b.yaml"
    )
    file = write(tmp_path, MODEL + "include: [parts/b.yaml]\n")
    linted = lint_file(file, context())
    (finding,) = linted.findings
    assert (finding.id, finding.file, finding.line, finding.column) == ("C052", str(tmp_path / "parts/b.yaml"), 3, 44)
    assert [model.name for model in linted.document.models] == ["chat", "b"]


def test_includes_that_include_each_other_end(tmp_path):
    write(tmp_path, "include: [config.yaml]\nmodel_list: []\n", "b.yaml")
    linted = lint_file(write(tmp_path, MODEL + "include: [b.yaml]\n"), context())
    assert linted.findings == ()


def test_an_included_file_that_is_broken_keeps_its_own_place(tmp_path):
    write(tmp_path, "a: [1\n", "b.yaml")
    linted = lint_file(write(tmp_path, MODEL + "include: [b.yaml]\n"), context())
    assert [(f.id, f.file) for f in linted.findings] == [("C005", str(tmp_path / "b.yaml"))]
    assert linted.exit_code == 1


def test_a_comment_allows_a_finding_on_its_line(tmp_path):
    text = "model_list:\n  - model_name: chat\n    litellm_params:\n      model: openai/gpt-4o\n      rpm: 0{}\n"
    loud = lint_file(write(tmp_path, text.format("")), context())
    quiet = lint_file(write(tmp_path, text.format("  # lint: allow C052")), context())
    assert [f.id for f in loud.findings] == ["C052"]
    assert quiet.findings == ()


def test_secrets_are_never_shown(tmp_path):
    secrets = ["sk-proj-AAAABBBBCCCC", "hunter2hunter2", "Bearer abcdefgh12345678"]
    text = (
        f"model_list:\n  - model_name: chat\n    litellm_params: {{model: openai/x, api_key: {secrets[0]}}}\n"
        f"general_settings:\n  master_key: {secrets[1]}\n  database_url: postgresql://u:{secrets[1]}@h/d\n"
        f"  pass_through_endpoints:\n    - {{path: /x, target: y, headers: {{Authorization: {secrets[2]}}}}}\n"
    )
    findings = lint_file(write(tmp_path, text), context()).findings
    assert len([f for f in findings if f.id == "C032"]) == 4
    assert not any(secret in repr(f) for secret in secrets for f in findings)
