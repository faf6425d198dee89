"""YAML to nodes with marks, by the C parser where there is one, and never deeper than it survives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

DEEPEST = 64
_BRACKETS = re.compile(r"[\[\]{}]")
_LEAD = re.compile(r"^[ \-?:\t]*", re.MULTILINE)
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Resolves the tag of equal scalars once: keys and model names recur a thousand times."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._tags: dict[tuple[object, object, object], str] = {}

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        key = (kind, value if isinstance(value, str) else None, implicit)
        tag = self._tags.get(key)
        if tag is None:
            tag = self._tags[key] = super().resolve(kind, value, implicit)
        return tag


def compose(text: str) -> yaml.Node | None:
    """The tree of the one document in `text`; None when there is none.

    Raises:
        yaml.YAMLError: no valid YAML, or more than one document.
    """
    loader = _Loader(text)
    try:
        return loader.get_single_node()  # type: ignore[no-any-return]
    finally:
        loader.dispose()


def construct(node: yaml.Node) -> Any:
    """The value that the safe loader makes of a document's tree.

    Raises:
        yaml.YAMLError: a tag that the safe loader does not know.
    """
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def refuse_tabs(text: str) -> None:
    """LiteLLM reads with PyYAML's own scanner, which refuses tabs between words that libyaml lets pass.

    Raises:
        yaml.YAMLError: it would refuse this text.
    """
    if "\t" in text:
        for _ in yaml.scan(text, Loader=yaml.SafeLoader):
            pass


def too_deep(text: str) -> tuple[int, int] | None:
    """Line and column where nesting passes DEEPEST. libyaml's composer recurses in C: 200,000 brackets crash it."""
    if max(_bracket_depth(text), max((len(m[0]) for m in _LEAD.finditer(text)), default=0)) <= DEEPEST:
        return None
    depth = 0
    try:
        for event in _events(text):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    mark: Any = event.start_mark
                    return mark.line + 1, mark.column + 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError:
        return None  # composing meets the same error, and no deeper nesting before it
    return None


def _events(text: str) -> Iterator[Any]:
    """Parser events. The parser itself keeps its stack on the heap."""
    return iter(yaml.parse(text, Loader=_Base))


def _bracket_depth(text: str) -> int:
    """The deepest that flow collections can be; brackets in strings and comments count too."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth = max(0, depth - 1)
    return deepest
