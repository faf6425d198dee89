"""A config with the place of everything in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from llm_gateway.model_config.lint.findings import Path, Position

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind = Literal["mapping", "sequence", "string", "integer", "number", "boolean", "null", "date"]
REFERENCE = "os.environ/"
CALLBACK_LISTS = ("callbacks", "success_callback", "failure_callback", "service_callback", "input_callback")


class Node:
    """A value of the config: where it stands, and what it is.

    `value` is a dict or list of nodes, or a plain Python value; `path` leads to it in its own file.
    """

    __slots__ = ("column", "file", "keys", "kind", "line", "path", "value")

    def __init__(  # noqa: PLR0917 - made ten thousand times; keywords would cost
        self, kind: Kind, value: Any, file: str, line: int, column: int, path: Path
    ) -> None:
        self.kind = kind
        self.value = value
        self.file = file
        self.line = line
        self.column = column
        self.path = path
        self.keys: dict[str, tuple[int, int]] = {}

    @property
    def at(self) -> Position:
        return Position(self.file, self.line, self.column)

    def key_at(self, name: str) -> Position:
        """Where the key `name` of this mapping stands; the value's place where the key came from another file."""
        child = self.value[name]
        if name not in self.keys:
            return child.at  # type: ignore[no-any-return]
        return Position(self.file, *self.keys[name])

    def get(self, name: str) -> Node | None:
        """The value of a key that is there and not null."""
        child = self.value.get(name) if self.kind == "mapping" else None
        return None if child is None or child.kind == "null" else child

    def has(self, name: str) -> bool:
        return self.kind == "mapping" and name in self.value

    def text(self, name: str) -> str:
        """The string under `name`, "" when there is none."""
        child = self.get(name)
        return child.value if child is not None and child.kind == "string" else ""

    def mapping(self, name: str) -> Node:
        """The mapping under `name`, else an empty one."""
        child = self.get(name)
        return child if child is not None and child.kind == "mapping" else _empty(self)

    def items(self) -> list[tuple[str, Node]]:
        return list(self.value.items()) if self.kind == "mapping" else []

    def list(self, name: str) -> list[Node]:
        """The entries of the list under `name`."""
        child = self.get(name)
        return child.value if child is not None and child.kind == "sequence" else []

    def plain(self) -> Any:
        """The value without places."""
        if self.kind == "mapping":
            return {name: child.plain() for name, child in self.value.items()}
        if self.kind == "sequence":
            return [child.plain() for child in self.value]
        return self.value


def _empty(parent: Node) -> Node:
    return Node("mapping", {}, parent.file, parent.line, parent.column, ())


def walk(node: Node, trail: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every node below and with `node`, each with its path in the merged config."""
    yield trail, node
    if node.kind == "mapping":
        for name, child in node.value.items():
            yield from walk(child, (*trail, name))
    elif node.kind == "sequence":
        for index, child in enumerate(node.value):
            yield from walk(child, (*trail, index))


def shown(trail: Path) -> str:
    """`model_list[3].litellm_params.model`."""
    text = ""
    for part in trail:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True)
class Model:
    """One entry of model_list that is a mapping."""

    node: Node
    index: int

    @cached_property
    def name(self) -> str:
        return self.node.text("model_name")

    @cached_property
    def params(self) -> Node:
        return self.node.mapping("litellm_params")

    @cached_property
    def info(self) -> Node:
        return self.node.mapping("model_info")

    @cached_property
    def target(self) -> str:
        """What LiteLLM calls: `provider/model`."""
        return self.params.text("model")

    @cached_property
    def provider(self) -> str:
        """The provider's name as far as the config says it; "" for a bare model name."""
        named = self.params.text("custom_llm_provider")
        return named or (self.target.split("/", 1)[0] if "/" in self.target else "")

    @property
    def shown(self) -> str:
        return self.name or f"model_list[{self.index}]"


@dataclass(frozen=True)
class Callback:
    """One named callback: the list it stands in, its name, its node and its index."""

    list: str
    name: str
    node: Node
    index: int


@dataclass(frozen=True)
class Document:
    """A config with everything that it includes, merged as LiteLLM does it."""

    root: Node
    file: str
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)

    def section(self, name: str) -> Node:
        """A top-level mapping; an empty one when there is none."""
        return self.root.mapping(name)

    @cached_property
    def models(self) -> tuple[Model, ...]:
        return tuple(Model(n, i) for i, n in enumerate(self.root.list("model_list")) if n.kind == "mapping")

    @cached_property
    def model_names(self) -> frozenset[str]:
        return frozenset(model.name for model in self.models if model.name)

    @cached_property
    def aliases(self) -> Node:
        return self.section("router_settings").mapping("model_group_alias")

    @cached_property
    def callbacks(self) -> tuple[Callback, ...]:
        """Every callback by name, wherever it is listed."""
        settings = self.section("litellm_settings")
        found = []
        for name in CALLBACK_LISTS:
            node = settings.get(name)
            entries = node.value if node is not None and node.kind == "sequence" else [node] if node else []
            found += [Callback(name, n.value, n, i) for i, n in enumerate(entries) if n.kind == "string"]
        return tuple(found)

    def callback(self, *names: str) -> Callback | None:
        """The first mention of one of these callbacks."""
        return next((entry for entry in self.callbacks if entry.name in names), None)

    @cached_property
    def guardrails(self) -> tuple[Node, ...]:
        return tuple(node for node in self.root.list("guardrails") if node.kind == "mapping")

    @cached_property
    def cache(self) -> Node | None:
        """cache_params where the cache is on: an empty mapping when it has none; None when it is off."""
        settings = self.section("litellm_settings")
        switch = settings.get("cache")
        if switch is None or switch.value is not True:
            return None
        return settings.mapping("cache_params")

    @property
    def cache_type(self) -> str:
        return (self.cache.text("type") or "redis") if self.cache is not None else ""

    @cached_property
    def _lines(self) -> dict[str, list[str]]:
        return {name: text.splitlines() for name, text in self.texts.items()}

    def line(self, at: Position) -> str:
        """The text of a line, with its comment."""
        lines = self._lines.get(at.file, [])
        return lines[at.line - 1] if 0 < at.line <= len(lines) else ""

    @cached_property
    def references(self) -> dict[str, list[tuple[Path, Node]]]:
        """`os.environ/NAME` by name, wherever it stands."""
        found: dict[str, list[tuple[Path, Node]]] = {}
        for trail, node in walk(self.root):
            if node.kind == "string" and node.value.startswith(REFERENCE):
                found.setdefault(node.value[len(REFERENCE) :], []).append((trail, node))
        return found
