"""Random edits of valid configs: whatever comes out, the lint answers with findings and never with a traceback."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_gateway.model_config.lint import render
from llm_gateway.model_config.lint.fix import fixes
from llm_gateway.model_config.lint.run import lint_file
from llm_gateway.verbs.lint import models
from support.lint_cases import context

ROOT = Path(__file__).resolve().parents[3]
FILES = [
    *sorted((ROOT / "configs").glob("*.yaml")),
    *sorted((ROOT / "tests/fixtures/configs").glob("*.yaml")),
    *sorted((ROOT / "tests/fixtures/seeds").glob("*.yaml")),
]
TEXTS = [path.read_text(encoding="utf-8") for path in FILES]
BROKEN = {"001_chart", "001_template", "003_tabs"}
TREES = [tree for path, text in zip(FILES, TEXTS, strict=True) if path.stem not in BROKEN
         for tree in [yaml.safe_load(text)]]  # fmt: skip
WORDS = ["os.environ/X", "os.environ/", "${X}", "http://[", "http://a b", "x" * 300, "\x00", "'", "é", "*", "a/b", "."]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(WORDS), st.dates(),
    st.just([]), st.just({}), st.just([None]), st.just({"a": None}), st.just([[1]]), st.just({"model": []}),
    st.binary(max_size=3),
)  # fmt: skip
PIECES = st.one_of(
    st.text(max_size=4),
    st.sampled_from(["\t", "\n", ": ", "- ", "&a ", "*a", "<<: ", "{", "}", "[", "]", "|", ">", "!x ", "#", "---\n",
                     "? ", "'", '"', "\r", "%", "\ufeff", "\x85", "!!binary ", "2024-99-99",
                     "!!float x", "!!int x", "=", "!!set "]),
)  # fmt: skip
CONTEXTS = [
    context(),
    context(variables={"LAGO_API_CHARGE_BY": "", "REDIS_HOST": "localhost"},
            enabled=frozenset({"gateway", "redis", "presidio"}),
            container=True, database=False, packages={}, proxies={"http": "x", "no": "10.0.0.0/8,*"}),
]  # fmt: skip


def paths(value, trail=()):
    yield trail
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(child, (*trail, key))


@st.composite
def edited_trees(draw):
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 4))):
        trail = draw(st.sampled_from(list(paths(tree))))
        if not trail:
            continue
        parent = tree
        for part in trail[:-1]:
            parent = parent[part]
        action = draw(st.sampled_from(["replace", "delete", "rename", "copy"]))
        if action == "delete":
            del parent[trail[-1]]
        elif action == "rename" and isinstance(parent, dict):
            parent[draw(st.one_of(st.text(max_size=6), st.integers(), st.booleans(), st.none()))] = parent.pop(
                trail[-1]
            )
        elif action == "copy":
            source = draw(st.sampled_from(list(paths(tree))))
            found = tree
            for part in source:
                found = found[part]
            parent[trail[-1]] = copy.deepcopy(found)
        else:
            parent[trail[-1]] = copy.deepcopy(draw(VALUES))  # later edits must not change what is drawn from
    return yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


@st.composite
def edited_texts(draw):
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(PIECES) + text[end:]
    return text.encode("utf-8", "surrogatepass")


def check(data, which):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_bytes(data)
        linted = lint_file(str(path), CONTEXTS[which])
        assert linted.exit_code in {0, 1, 2}
        assert (linted.document is None) <= bool(linted.findings)
        assert render.text(linted.findings)
        render.github(linted.findings)
        for finding in linted.findings:
            assert finding.line >= 1
            assert finding.column >= 1
        fixes(linted.findings, hide=[])
        models(str(path), CONTEXTS[which])


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.one_of(edited_trees(), edited_texts(), st.binary(max_size=60)), which=st.integers(0, 1))
def test_never_a_traceback(data, which):
    check(data, which)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.one_of(edited_trees(), edited_texts(), st.binary(max_size=60)), which=st.integers(0, 1))
def test_never_a_traceback_in_ten_thousand(data, which):
    check(data, which)
