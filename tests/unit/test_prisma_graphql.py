"""The engine's GraphQL reader, fed by hypothesis through one Node process."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIB = Path(__file__).parents[2] / "src/llm_gateway/prisma_wasm/engine/lib"
_LOOP = """
const { parseQuery, QueryTextError } = require('./graphql');
const { toJsonProtocol } = require('./protocol');
const { readSchema } = require('./schema');
const { untag, wrapRows } = require('./results');
const call = {
  parse: (text) => parseQuery(text),
  protocol: ([schema, text]) => toJsonProtocol(text, readSchema(schema).models),
  untag, wrapRows,
};
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [name, argument] = JSON.parse(line);
  let answer;
  try {
    answer = { value: call[name](argument) };
  } catch (error) {
    const known = error instanceof QueryTextError || error instanceof RangeError;
    answer = { error: known ? 'refused' : String(error.stack) };
  }
  console.log(JSON.stringify(answer));
});
"""
_SCHEMA = """
datasource client { provider = "postgresql"
  url = env("DATABASE_URL")
}
// model Commented { a Json }
model Key {
  token String @id
  data  Json   @default("{}") // the { key's } data
  other Json?
  tags  Json[]
  budget Budget? @relation(fields: [token], references: [id])
}
model Budget {
  id   String @id
  keys Key[]
  info Json
}
"""


class _Node:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, name: str, argument: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, argument]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def parse(self, text: str) -> Any:
        answer = self("parse", text)
        assert "error" not in answer, (answer, text)
        return answer["value"]

    def protocol(self, arguments: str, selection: str = "{ token }") -> Any:
        text = f"query {{ result: findManyKey({arguments}) {selection} }}"
        answer = self("protocol", [_SCHEMA, text])
        assert "error" not in answer, answer
        return answer["value"]["query"]


@pytest.fixture(scope="module")
def node() -> Iterator[_Node]:
    program = shutil.which("node")
    if program is None:
        pytest.skip("needs node")
    process = subprocess.Popen(
        [program, "-e", _LOOP],
        cwd=_LIB,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    yield _Node(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


_NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
_SAFE = 2**53 - 1
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-_SAFE, _SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_VALUES = st.recursive(_SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(_NAMES, v, max_size=4))


def _render(value: Any) -> str:
    """As prisma-client-py writes it: every level's text is indented line by line (builder.py)."""
    if isinstance(value, dict):
        lines = [indent(f"{key}: {_render(item)}", "  ") for key, item in value.items()]
        return "\n".join(["{", *lines, "}"])
    if isinstance(value, list):
        return ",\n".join(["[", *(indent(_render(item), "  ") for item in value), "]"])
    return json.dumps(value, ensure_ascii=False)


def _query(arguments: dict[str, Any]) -> str:
    lines = [indent(f"{key}: {_render(value)}", "  ") for key, value in arguments.items()]
    inner = "\n".join(["result: findManyKey", "(", *lines, ")", "{", "  token", "}"])
    return "\n".join(["query {", indent(inner, "  "), "}"])


def _doubles(value: Any) -> Any:
    """JavaScript writes the double 2**55 + 2 as ...970, which for Python is another integer."""
    if isinstance(value, dict):
        return {key: _doubles(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_doubles(item) for item in value]
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4))
@example({"a": "\u2028", "b": ["x\u2029   y\x85", "   \u2028   \u2028"], "c": {"d": "\u2028\u2028  z"}})
@example({"__proto__": {"constructor": 1}, "toString": "x"})
@example({"a": [5e-324, 1e300, -0.0, 1.5e-7]})
def test_what_the_client_writes_is_read_back(node: _Node, arguments: dict[str, Any]) -> None:
    parsed = node.parse(_query(arguments))
    assert _doubles(parsed["arguments"]) == _doubles(arguments)
    assert (parsed["field"], parsed["selection"]) == ("findManyKey", {"token": True})


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}()[]":,\\ \naQ_0-9.e+\u2028', max_size=60))
@example("query{a:b}")
@example('query { result: f(a: "\\") }')
def test_any_text_gets_an_answer(node: _Node, text: str) -> None:
    answer = node("parse", text)
    assert "value" in answer or answer["error"] == "refused"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "query",
        "query { result: f",
        "query { result: f } x",
        "fragment { result: f }",
        "query { result: f(a: 1e999) }",
        'query { result: f(a: "\n") }',
        "query { result: f(a: $v) }",
        "query { result: f(a: -) }",
    ],
)
def test_other_text_is_refused(node: _Node, text: str) -> None:
    assert node("parse", text) == {"error": "refused"}


def test_large_integers_and_enums_are_tagged(node: _Node) -> None:
    parsed = node.parse(f"query {{ result: f(a: {2**53}, b: -{2**60} c: asc, d: {_SAFE}) }}")
    assert parsed["arguments"] == {
        "a": {"$type": "BigInt", "value": str(2**53)},
        "b": {"$type": "BigInt", "value": str(-(2**60))},
        "c": {"$type": "Enum", "value": "asc"},
        "d": _SAFE,
    }


def _json(text: str) -> dict[str, str]:
    return {"$type": "Json", "value": text}


def test_json_fields_are_tagged_wherever_they_stand(node: _Node) -> None:
    arguments = node.protocol(
        'where: {token: "t" '
        'data: {path: ["a"], equals: "1", not: "2", string_contains: "x", mode: insensitive} '
        'AND: [{other: "3"}] budget: {is: {info: {equals: "4"} id: "b" keys: {some: {data: {not: "5"}}}}} '
        'tags: {has: "6"}} orderBy: [{data: asc}] distinct: [data] cursor: {token: "data"}'
    )["arguments"]
    where = arguments["where"]
    assert where["token"] == "t"
    enum = {"$type": "Enum", "value": "insensitive"}
    assert where["data"] == {
        "path": ["a"],
        "equals": _json("1"),
        "not": _json("2"),
        "string_contains": "x",
        "mode": enum,
    }
    assert where["AND"] == [{"other": _json("3")}]
    related = where["budget"]["is"]
    assert (related["info"], related["id"]) == ({"equals": _json("4")}, "b")
    assert related["keys"] == {"some": {"data": {"not": _json("5")}}}
    assert where["tags"] == {"has": _json("6")}
    assert arguments["cursor"] == {"token": "data"}
    assert arguments["distinct"] == [{"$type": "Enum", "value": "data"}]


def test_writes_and_includes_are_tagged(node: _Node) -> None:
    query = node.protocol(
        'data: {data: "{}" tags: {set: ["1"]} other: DbNull token: "t" budget: {create: {id: "b" info: "[]"}}}',
        '{ token budget { id keys(where: {data: {equals: "1"}}, take: 2) { token } } }',
    )
    assert query["arguments"]["data"] == {
        "data": _json("{}"),
        "tags": {"set": [_json("1")]},
        "other": {"$type": "Enum", "value": "DbNull"},
        "token": "t",
        "budget": {"create": {"id": "b", "info": _json("[]")}},
    }
    keys = query["selection"]["budget"]["selection"]["keys"]
    assert keys == {
        "arguments": {"where": {"data": {"equals": _json("1")}}, "take": 2},
        "selection": {"token": True},
    }


@pytest.mark.parametrize(
    ("operation", "tagged"),
    [
        ('create: [{token: "t" data: "1"}]', {"create": [{"token": "t", "data": _json("1")}]}),
        ('createMany: {data: [{data: "1"}]}', {"createMany": {"data": [{"data": _json("1")}]}}),
        ('connect: {token: "t"}', {"connect": {"token": "t"}}),
        (
            'connectOrCreate: {where: {token: "t"} create: {data: "1"}}',
            {"connectOrCreate": {"where": {"token": "t"}, "create": {"data": _json("1")}}},
        ),
        (
            'update: {where: {token: "t"} data: {data: "1"}}',
            {"update": {"where": {"token": "t"}, "data": {"data": _json("1")}}},
        ),
        ('update: {token: "t" data: "1"}', {"update": {"token": "t", "data": _json("1")}}),
        ('update: {data: {token: "t" data: "1"}}', {"update": {"data": {"token": "t", "data": _json("1")}}}),
        ('deleteMany: [{data: {equals: "1"}}]', {"deleteMany": [{"data": {"equals": _json("1")}}]}),
        ('every: {AND: [{data: {not: "1"}}]}', {"every": {"AND": [{"data": {"not": _json("1")}}]}}),
        ('other: {equals: "1"}', {"other": {"equals": _json("1")}}),
    ],
)
def test_operations_on_relations_are_tagged(node: _Node, operation: str, tagged: Any) -> None:
    text = f"mutation {{ result: updateOneBudget(data: {{ keys: {{ {operation} }} }}) {{ id }} }}"
    answer = node("protocol", [_SCHEMA, text])
    assert answer["value"]["query"]["arguments"]["data"]["keys"] == tagged


def test_results_lose_their_tags(node: _Node) -> None:
    tagged = [{"a": {"$type": "BigInt", "value": "1"}, "b": [{"$type": "Json", "value": "{}"}], "c": None}]
    assert node("untag", tagged)["value"] == [{"a": "1", "b": ["{}"], "c": None}]
    rows = {
        "columns": ["a", "b", "c"],
        "types": ["int", "string-array", "json"],
        "rows": [[1, ["x", None], None]],
    }
    null = {"prisma__type": "null", "prisma__value": None}
    wrapped = {"prisma__type": "string", "prisma__value": "x"}
    assert node("wrapRows", rows)["value"] == [
        {
            "a": {"prisma__type": "int", "prisma__value": 1},
            "b": {"prisma__type": "array", "prisma__value": [wrapped, null]},
            "c": null,
        }
    ]
