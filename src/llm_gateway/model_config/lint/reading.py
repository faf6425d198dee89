"""From a file to a Document, with one clear finding for each way in which it cannot be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from llm_gateway.files import Unreadable, read_text
from llm_gateway.model_config.lint.build import Builder, Unusable
from llm_gateway.model_config.lint.document import Document, Node
from llm_gateway.model_config.lint.findings import Finding, Position
from llm_gateway.model_config.lint.loader import DEEPEST, compose, refuse_tabs, too_deep
from llm_gateway.model_config.lint.registry import Found, declare, finding
from llm_gateway.model_config.load import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable

_STOPS = "LiteLLM cannot load the file, so the gateway does not start."
declare("C001", "error", "a file that is not there or cannot be read", why=_STOPS)
declare(
    "C002",
    "error",
    "a directory in the place of the file",
    why="Docker makes an empty directory where the file of a bind mount is missing, and LiteLLM finds no config.",
)
declare("C003", "error", "a file of more than 5 MB", why="No model config is that large; it is another file.")
declare("C004", "error", "a file that is not UTF-8", why=_STOPS)
declare("C005", "error", "a YAML syntax error", why=_STOPS)
declare("C006", "error", "a tab where YAML wants spaces", why=_STOPS)
declare("C007", "error", "an empty file", why="A gateway without a config has no models.")
declare("C008", "error", "a file that is no mapping", why=_STOPS)
declare("C009", "error", "anchors that expand without end", why="Loading it would take all memory of the machine.")
declare("C010", "error", "nesting that is too deep", why="YAML parsers crash on it.")
declare("C012", "error", "a value that the safe YAML loader refuses", why=_STOPS)
declare(
    "C011",
    "warning",
    "a key that stands twice",
    why="YAML readers keep the last one and drop the other without a word.",
)
declare("C013", "error", "an `include` that cannot be followed", why=_STOPS)
declare(
    "C014",
    "warning",
    "an included file that replaces a whole section",
    why="LiteLLM joins only lists; any other section of an included file replaces the including file's.",
)

_UNREADABLE = {
    "missing": ("C001", "Name an existing file."),
    "irregular": ("C001", "Name an existing file."),
    "denied": ("C001", "Give your user the right to read it."),
    "directory": (
        "C002",
        "Name the file; if a container mounts it, remove the empty directory and mount an existing file.",
    ),
    "large": ("C003", "Name the model config; split a large one with `include`."),
    "encoding": ("C004", "Save the file as UTF-8."),
}
_TAB = re.compile(r"^ *\t", re.MULTILINE)


def read(file: str) -> tuple[Document | None, list[Finding]]:
    """The config in `file` with everything it includes; None when it is unusable, which a finding then explains.

    Args:
        file: path as it shall stand in findings.
    """
    reader = _Reader()
    root = reader.file(file)
    if root is None:
        return None, reader.findings
    merged = reader.merge(root, file)
    return Document(merged, file, reader.texts), reader.findings


class _Reader:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.texts: dict[str, str] = {}

    def say(self, id_: str, at: Position, message: str, fix: str) -> None:
        self.findings.append(finding(id_, Found(at, message, fix)))

    def file(self, file: str) -> Node | None:
        """The root mapping of one file, None after a finding that says why not."""
        text = self._text(file)
        if text is None:
            return None
        self.texts[file] = text
        try:
            if where := too_deep(text):
                self.say("C010", Position(file, *where), f"more than {DEEPEST} levels are nested", "Flatten it.")
                return None
            node = compose(text)
            refuse_tabs(text)
            builder = Builder(file)
            root = None if node is None else builder.build(node)
        except Unusable as unusable:
            self.findings.append(finding(unusable.id, Found(unusable.at, unusable.message, unusable.fix)))
            return None
        except yaml.YAMLError as error:
            self._syntax(file, text, error)
            return None
        for id_, found in builder.found:
            self.findings.append(finding(id_, found))
        return self._mapping(file, root)

    def _mapping(self, file: str, root: Node | None) -> Node | None:
        example = "Begin with model_list:, as in configs/model-config-demo.yaml."
        if root is None or root.kind == "null":
            self.say("C007", Position(file, 1, 1), "the file is empty", example)
            return None
        if root.kind != "mapping":
            self.say("C008", root.at, f"the file is a {root.kind}, not a mapping of sections", example)
            return None
        return root

    def _text(self, file: str) -> str | None:
        try:
            return read_text(Path(file), largest=LARGEST)
        except Unreadable as problem:
            id_, fix = _UNREADABLE[problem.kind]
            self.say(id_, Position(file, *problem.at), problem.reason, fix)
            return None

    def _syntax(self, file: str, text: str, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        at = Position(file, mark.line + 1, mark.column + 1) if mark else _unprintable(file, text, error)
        lines = text.splitlines()
        around = "\n".join(lines[max(0, at.line - 2) : at.line])
        if tab := _TAB.search(around):
            line = max(0, at.line - 2) + around.count("\n", 0, tab.start()) + 1
            column = tab.end() - tab.start()
            self.say("C006", Position(file, line, column), "a tab indents this line", "Indent with spaces.")
            return
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        if r"'\t'" in str(problem):
            self.say("C006", at, "a tab stands between words", "Use spaces.")
            return
        if "expected a single document" in str(error) or "another document" in str(problem):
            problem = "a second document begins here (---), and LiteLLM reads only files with one"
        self.say(
            "C005",
            at,
            f"not valid YAML: {problem}",
            "Look at this line and the one above: indentation, colons, quotes.",
        )

    def merge(self, root: Node, file: str) -> Node:
        """`root` with its includes, in LiteLLM's order: lists are joined, anything else is replaced."""
        merged = dict(root.value)
        keys = dict(root.keys)
        pending = [(entry, file) for entry in self._includes(root)]
        loaded = {_absolute(file)}
        while pending:
            entry, declared = pending.pop(0)
            where = self._find(entry.value, declared, file)
            if _absolute(where) in loaded:
                continue
            loaded.add(_absolute(where))
            included = self._included(where, entry)
            if included is None:
                continue
            pending += [(inner, where) for inner in self._includes(included)]
            self._join(merged, keys, included)
        merged.pop("include", None)
        joined = Node("mapping", merged, root.file, root.line, root.column, ())
        joined.keys = {name: place for name, place in keys.items() if name in merged}
        return joined

    def _join(self, merged: dict[str, Node], keys: dict[str, tuple[int, int]], included: Node) -> None:
        for name, value in included.value.items():
            if name == "include":
                continue
            mine = merged.get(name)
            if mine is not None and mine.kind == value.kind == "sequence":
                joined = Node("sequence", [*mine.value, *value.value], mine.file, mine.line, mine.column, mine.path)
                merged[name] = joined
                continue
            if mine is not None and mine.kind != "null":
                self.say(
                    "C014",
                    included.key_at(name),
                    f"{name} replaces the {name} of {mine.file}, line {mine.line}, as a whole",
                    f"Keep {name} in one of the two files.",
                )
            merged[name] = value
            keys.pop(name, None)

    def _includes(self, node: Node) -> Iterable[Node]:
        include = node.value.get("include")
        if include is None:
            return []
        entries = include.value if include.kind == "sequence" else [include]
        wrong = [entry for entry in entries if entry.kind != "string"]
        if include.kind != "sequence" or wrong:
            at = wrong[0].at if include.kind == "sequence" else include.at
            self.say("C013", at, "`include` is not a list of file names", "Write: include: [models.yaml]")
            return []
        return list(entries)

    def _find(self, entry: str, declared: str, root: str) -> str:
        beside = Path(declared).parent / entry
        beside_root = Path(root).parent / entry
        return str(beside if beside.exists() or not beside_root.exists() else beside_root)

    def _included(self, where: str, entry: Node) -> Node | None:
        before = len(self.findings)
        node = self.file(where)
        if node is None:
            reason = self.findings[before]
            if reason.id in {"C001", "C002", "C007"}:  # nothing in that file to point at
                del self.findings[before:]
                self.say("C013", entry.at, f"{entry.value}: {reason.message}", "Name a file, relative to this one.")
        return node


def _absolute(file: str) -> str:
    return str(Path(file).absolute())


def _unprintable(file: str, text: str, error: yaml.YAMLError) -> Position:
    """A reader error has an offset instead of a mark."""
    offset = getattr(error, "position", 0)
    offset = offset if isinstance(offset, int) else 0
    before = text[:offset]
    return Position(file, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)
