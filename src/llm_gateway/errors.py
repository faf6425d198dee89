"""The one tree of errors a person can meet.

Every error says four things: a stable code, what happened, the likely cause and the next command.
The code's first digit names the area:

| codes | area |
|---|---|
| E1xx | what the person gave: options, settings, `.env`, config files, the home |
| E2xx | the machine and the installation |
| E3xx | services and the engine that runs them: ports, processes, probes |
| E4xx | the database and its client |
| E5xx | the gateway process |
| E6xx | seeding and LiteLLM's own API |

This module imports the standard library only: the installer runs it before anything is installed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    """What an error says. `next` is a command or an action, never a restatement of the cause."""

    code: str
    message: str
    cause: str
    next: str

    def as_dict(self) -> dict[str, str]:
        """The error as it stands in the JSON envelope."""
        return asdict(self)


class GatewayError(Exception):
    """Something failed or is not proven. Exit code 1; subclasses name the other exit codes.

    Args:
        code: `E` and three digits, unique to the place that raises it.
        message: what happened, one line.
        cause: the likely cause.
        next: the command or action that helps.
        data: what programs may want to know about it; JSON types only.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        cause: str,
        next: str,  # noqa: A002
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code} {message}")
        self.problem = Problem(code=code, message=message, cause=cause, next=next)
        self.data = dict(data or {})


class InputError(GatewayError):
    """The person gave something that cannot be used."""

    exit_code = 2


class PreconditionError(GatewayError):
    """Something the command needs is missing on this machine."""

    exit_code = 3


class DeadlineError(GatewayError):
    """A deadline passed before something became ready."""

    exit_code = 4
