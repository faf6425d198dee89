"""What a verb returns, and the two ways it is shown: text for people, one JSON envelope for programs.

The idea of typed results with one renderer is pipx's (facts/style.md section 1.3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_gateway.errors import GatewayError, Problem

SCHEMA = "llm-gateway/1"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a verb.

    Attributes:
        verb: its name.
        data: what `--json` carries; JSON types only.
        text: what a person reads on stdout.
        warnings: one sentence each; stderr for people.
        errors: what failed or was found.
        told: the warnings were already shown while the verb ran.
        exit_code: 0 fine, 1 failed, 2 bad input, 3 precondition missing, 4 deadline passed.
    """

    verb: str
    data: Any = field(default_factory=dict)
    text: str = ""
    warnings: tuple[str, ...] = ()
    errors: tuple[Problem, ...] = ()
    told: bool = False
    exit_code: int = 0

    def envelope(self) -> str:
        """The JSON envelope (DESIGN section 5)."""
        value = {
            "schema": SCHEMA,
            "verb": self.verb,
            "ok": self.exit_code == 0,
            "data": self.data,
            "warnings": list(self.warnings),
            "errors": [problem.as_dict() for problem in self.errors],
        }
        return json.dumps(value, indent=2, ensure_ascii=False)


def failure(verb: str, error: GatewayError) -> Result:
    """The result of a verb that ended with an error."""
    return Result(verb, error.data, errors=(error.problem,), exit_code=error.exit_code)


def show(problem: Problem) -> str:
    """An error as a person reads it."""
    return f"{problem.code}  {problem.message}\n      Cause: {problem.cause}\n      Next:  {problem.next}"
