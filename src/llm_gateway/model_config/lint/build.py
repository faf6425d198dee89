"""From YAML nodes to the lint's nodes: values as the safe loader makes them, merges resolved, duplicates noticed."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from llm_gateway.model_config.lint.document import Kind, Node
from llm_gateway.model_config.lint.findings import Path, Position
from llm_gateway.model_config.lint.loader import DEEPEST
from llm_gateway.model_config.lint.registry import Found

_YAML = "tag:yaml.org,2002:"
_KINDS: dict[str, Kind] = {
    f"{_YAML}int": "integer",
    f"{_YAML}float": "number",
    f"{_YAML}bool": "boolean",
    f"{_YAML}timestamp": "date",
}
_LARGEST_EXPANSION = 200_000  # nodes; the largest sensible config has a tenth
_TEXT_OF_A_NODE = 100  # characters; a long text that is repeated counts for more than one
_MERGE = f"{_YAML}merge"


class Unusable(Exception):  # noqa: N818 - not an error of the kit: a finding about the file
    """The file cannot be used; the finding that says so."""

    def __init__(self, id_: str, at: Position, message: str, fix: str) -> None:
        super().__init__(message)
        self.id, self.at, self.message, self.fix = id_, at, message, fix


class Builder:
    """Builds the nodes of one file. `found` collects what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[tuple[str, Found]] = []
        self._done: dict[int, Node] = {}
        self._sizes: dict[int, int] = {}
        self._depths: dict[int, int] = {}
        self._open: set[int] = set()
        self._construct: Any = SafeConstructor()

    def build(self, node: yaml.Node) -> Node:
        """The tree below the document's node.

        Raises:
            Unusable: it would expand beyond all bounds, contains itself, or holds what the safe loader refuses.
        """
        return self._node(node, ())

    def _at(self, node: yaml.Node) -> Position:
        return Position(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _node(self, node: yaml.Node, path: Path) -> Node:
        key = id(node)
        if key in self._done:
            return self._done[key]
        if key in self._open:
            raise Unusable("C009", self._at(node), "this anchor contains itself", "Write the value out.")
        if isinstance(node, yaml.ScalarNode):
            built = self._scalar(node, path)
            self._sizes[key] = 1 + len(node.value) // _TEXT_OF_A_NODE
        else:
            self._open.add(key)
            built = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
            self._open.discard(key)
        self._done[key] = built
        return built

    def _grow(self, node: yaml.Node, by: yaml.Node) -> None:
        size = self._sizes.get(id(node), 1) + self._sizes.get(id(by), 1)
        self._sizes[id(node)] = size
        if size > _LARGEST_EXPANSION:
            message = f"anchors and aliases expand this to more than {_LARGEST_EXPANSION:,} values"
            raise Unusable("C009", self._at(node), message, "Use fewer aliases; nested ones multiply.")
        depth = self._depths.get(id(by), 0) + 1
        self._depths[id(node)] = max(depth, self._depths.get(id(node), 0))
        if depth > DEEPEST:
            message = f"with its aliases, more than {DEEPEST} levels are nested"
            raise Unusable("C010", self._at(node), message, "Flatten it.")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Node:
        _, line, column = self._at(node)
        if node.tag == f"{_YAML}str":
            return Node("string", node.value, self.file, line, column, path)
        if node.tag == f"{_YAML}null":
            return Node("null", None, self.file, line, column, path)
        try:
            value = self._construct.construct_object(node)
        except yaml.constructor.ConstructorError:
            self._refuse_tag(node)
        except (ValueError, OverflowError, KeyError, ArithmeticError) as error:
            message = f"this looks like a {_KINDS.get(node.tag, 'value')}, but is none: {error}"
            raise Unusable("C012", self._at(node), message, "Put quotes around it.") from None
        kind = _KINDS.get(node.tag, "string")
        if not isinstance(value, str) and kind == "string":  # !!binary
            value = ""
        return Node(kind, value, self.file, line, column, path)

    def _refuse_tag(self, node: yaml.Node) -> None:
        raise Unusable(
            "C012",
            self._at(node),
            f"the tag {node.tag.removeprefix(_YAML)!r} means nothing to LiteLLM",
            "Remove the tag; variables are written os.environ/NAME.",
        )

    def _sequence(self, node: yaml.Node, path: Path) -> Node:
        if not node.tag.startswith(_YAML):
            self._refuse_tag(node)
        built = Node("sequence", [], *self._at(node), path)
        for index, item in enumerate(node.value):
            built.value.append(self._node(item, (*path, index)))
            self._grow(node, item)
        return built

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Node:
        if not node.tag.startswith(_YAML):
            self._refuse_tag(node)
        built = Node("mapping", {}, *self._at(node), path)
        merges: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                parts = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                merges += self._merged(value_node, parts, path)
                for part in parts:
                    self._grow(node, part)
                continue
            name = self._name(key_node)
            at = self._at(key_node)
            value = self._node(value_node, (*path, name))
            self._grow(node, value_node)
            self._sizes[id(node)] += len(name) // _TEXT_OF_A_NODE
            if name in built.keys:
                self._duplicate(built, name, at, value)
            built.keys[name] = (at.line, at.column)
            built.value[name] = value
        for merged in merges:  # what the mapping says itself wins, then the first merge
            for name, value in merged.value.items():
                if name not in built.value:
                    built.value[name] = value
                    built.keys[name] = merged.keys.get(name, (value.line, value.column))
        return built

    def _name(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            fix = "Use plain text as the key; a value with braces needs quotes: '{…}'."
            raise Unusable("C012", self._at(node), "a list or mapping stands as a key", fix)
        return str(node.value)

    def _merged(self, node: yaml.Node, parts: list[yaml.Node], path: Path) -> list[Node]:
        built = [self._node(part, (*path, "<<")) for part in parts]
        if any(part.kind != "mapping" for part in built):
            raise Unusable("C012", self._at(node), "`<<` can only merge mappings", "Let the alias name a mapping.")
        return built

    def _duplicate(self, mapping: Node, name: str, at: Position, value: Node) -> None:
        first, line = mapping.value[name], mapping.keys[name][0]
        whole = first.kind in {"mapping", "sequence"}
        message = f"{name} stands twice; the one in line {line} is dropped"
        fix = "Join the two." if whole else "Keep one of the two."
        self.found.append(
            ("C011", Found(at, message, fix, "error" if whole and first.plain() != value.plain() else None))
        )
