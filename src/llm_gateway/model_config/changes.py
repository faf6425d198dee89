"""Showing an effective config and what differs from the person's; secrets never."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import yaml

from llm_gateway.model_config.effective import as_yaml
from llm_gateway.model_config.lint.document import shown
from llm_gateway.model_config.redaction import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llm_gateway.model_config.effective import Change

_ONE_LINE = 90  # characters of a value that stands on the line of its path


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
