"""The effective config: the person's file plus what the enabled services need. The file itself is never changed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from llm_gateway.services.base import Operation, Setting

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the person's config and the effective one.

    Attributes:
        path: where; for a member of a list the path of the list.
        operation: what was done.
        before: what stood there, None when nothing did; the member that was taken out of a list.
        after: what stands there now, None when nothing does; the member that was put into a list.
        member: is it about one member of the list at `path`?
        reason: why.
    """

    path: Path
    operation: Operation
    before: Any
    after: Any
    member: bool
    reason: str


def complete(config: Mapping[str, Any], settings: Iterable[Setting]) -> tuple[dict[str, Any], list[Change]]:
    """Apply the settings in their order; what the config sets itself wins over `set`.

    A section that is no mapping (or no list where one belongs) is left as it is: LiteLLM, or the lint, has its say.

    Returns:
        The completed config and what differs.
    """
    effective, changes = copy.deepcopy(dict(config)), []
    for setting in sorted(settings, key=lambda one: one.order):
        creates = setting.operation in {"set", "append"}
        node = _parent(effective, setting.path, create=creates)
        change = None if node is None else _OPERATIONS[setting.operation](node, setting)
        if change is not None:
            changes.append(change)
    return effective, changes


def _parent(config: dict[str, Any], path: Path, *, create: bool) -> Any:
    """What holds the last part of `path`; None when there is no such place."""
    node: Any = config
    for part in path[:-1]:
        child = _child(node, part)
        if child is None and create and isinstance(node, dict):
            child = node[part] = {}
        node = child
    last = path[-1]
    fits = isinstance(node, dict) or (isinstance(node, list) and isinstance(last, int) and last < len(node))
    return node if fits else None


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(part)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return None


def _set(node: Any, setting: Setting) -> Change | None:
    if not isinstance(node, dict) or setting.path[-1] in node:
        return None
    node[setting.path[-1]] = copy.deepcopy(setting.value)
    return _change(setting, None, setting.value)


def _append(node: Any, setting: Setting) -> Change | None:
    name = setting.path[-1]
    present = _child(node, name)
    # LiteLLM takes a single name for a list of one in most places.
    members = present if isinstance(present, list) else [] if present is None else [present]
    if setting.value in members or isinstance(present, dict):
        return None
    node[name] = [*members, copy.deepcopy(setting.value)]
    return _change(setting, None, setting.value, member=True)


def _replace(node: Any, setting: Setting) -> Change | None:
    present = _child(node, setting.path[-1])
    if present is None or present == setting.value:
        return None
    node[setting.path[-1]] = copy.deepcopy(setting.value)
    return _change(setting, present, setting.value)


def _remove(node: Any, setting: Setting) -> Change | None:
    name = setting.path[-1]
    present = _child(node, name)
    if present is None:
        return None
    if setting.value is None:
        del node[name]
        return _change(setting, present, None)
    members = present if isinstance(present, list) else [present]
    rest = [member for member in members if member != setting.value]
    if len(rest) == len(members):
        return None
    if rest:
        node[name] = rest
    else:
        del node[name]
    return _change(setting, setting.value, None, member=True)


def _change(setting: Setting, before: Any, after: Any, *, member: bool = False) -> Change:
    return Change(setting.path, setting.operation, before, after, member, setting.reason)


_OPERATIONS: dict[str, Callable[[Any, Setting], Change | None]] = {
    "set": _set,
    "append": _append,
    "replace": _replace,
    "remove": _remove,
}


def render(effective: Mapping[str, Any], *, source: str) -> str:
    """The effective config as YAML, with a line that says what it is."""
    head = f"# Effective config, made by llm-gateway from {source} at each start. Edit that file, not this one.\n"
    return head + as_yaml(effective)


def as_yaml(value: Any) -> str:
    """Block YAML in the given order, without anchors."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """A value that stands twice is written twice: people read this file."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True
