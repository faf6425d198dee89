"""Showing an effective config and what differs from the person's; secrets never."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import yaml

from llm_gateway.model_config.effective import as_yaml
from llm_gateway.model_config.lint.document import shown
from llm_gateway.model_config.lint.rules.environment import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.effective import Change

_HIDDEN = "***"
_ONE_LINE = 90  # characters of a value that stands on the line of its path


def masked(value: Any, path: tuple[str | int, ...] = ()) -> Any:
    """`value`, which stands at `path` of a config, with `***` in the place of every secret."""
    if isinstance(value, dict):
        return {name: masked(inner, (*path, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, (*path, index)) for index, inner in enumerate(value)]
    return _HIDDEN if isinstance(value, str) and is_secret(path, value) else value


def diff(changes: Iterable[Change]) -> list[str]:
    """The difference as lines: the reason as a comment, then what goes (`-`) and what comes (`+`)."""
    lines: list[str] = []
    for reason, group in groupby(changes, key=lambda change: change.reason):
        lines.append(f"# {reason}")
        for change in group:
            lines += _side("-", change, change.before)
            lines += _side("+", change, change.after)
    return lines


def _side(sign: str, change: Change, value: Any) -> Iterator[str]:
    if value is None:
        return
    name = shown(change.path) + ("[]" if change.member else "")
    safe = masked(value, change.path)
    flow = yaml.safe_dump(safe, default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    flow = flow.removesuffix("\n").removesuffix("\n...")
    if len(flow) <= _ONE_LINE:
        yield f"{sign} {name}: {flow}"
        return
    yield f"{sign} {name}:"
    for line in as_yaml(safe).splitlines():
        yield f"{sign}   {line}"


def as_data(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The difference as JSON carries it."""
    return [
        {
            "path": shown(change.path),
            "operation": change.operation,
            "before": masked(change.before, change.path),
            "after": masked(change.after, change.path),
            "reason": change.reason,
        }
        for change in changes
    ]
