"""What a proof gives: evidence, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read back.

    Attributes:
        text: one line for people.
        data: ids, values and milliseconds for `--json`.
    """

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)


class NotProven(Exception):  # noqa: N818 - an outcome, no fault of the program
    """A capability that does not do its job.

    Args:
        message: what happened.
        cause: the likely cause.
        next: the next command, or what to mend.
        data: what was seen, for `--json`.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        next: str,  # noqa: A002
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.next = next
        self.data = dict(data or {})


class ProviderDown(NotProven):
    """The gateway does its job, and what stands behind it does not answer: the capability is unavailable."""


class NothingToProve(Exception):  # noqa: N818 - an outcome, no fault of the program
    """The gateway's models have nothing that could show this capability: it is off. Its text says why."""
