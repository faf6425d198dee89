"""What the lint says about a config."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
Path = tuple[str | int, ...]


class Position(NamedTuple):
    """A place in a file, counted from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Edit:
    """One safe change to a file.

    Attributes:
        action: `delete` the path, `set` it to `value`, or `move` it to `target`.
    """

    action: Literal["delete", "set", "move"]
    path: Path
    value: Any = None
    target: Path = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: `C` and three digits, stable.
        severity: `error` for what certainly breaks, `warning` for what probably does, `info` for what one should know.
        message: what is wrong; never holds a secret.
        why: why it matters.
        fix: what to do.
        edits: the fix as changes to `file`, when it is safe.
        fatal: an error that spoils the whole gateway, and so stops a start: LiteLLM does not come up, answers every
            request with an error, does not protect what it is told to protect, or loses all that it is told to trace
            or bill. An error that is not fatal spoils one model.
    """

    id: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    why: str
    fix: str
    edits: tuple[Edit, ...] = field(default=(), repr=False)
    fatal: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The finding for `--json`."""
        value = asdict(self)
        value["fixable"] = bool(value.pop("edits"))
        value["stops_start"] = value.pop("fatal")
        return value
