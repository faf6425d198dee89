"""What a verb returns, and the two ways it is shown: text for people, one JSON envelope for programs.

The idea of typed results with one renderer is pipx's (facts/style.md section 1.3).
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_gateway.errors import GatewayError, Problem

SCHEMA = "llm-gateway/1"
_KEYS = (str, int, bool, type(None))


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a verb.

    Attributes:
        verb: its name.
        data: what `--json` carries; values of a YAML file may be among it.
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
            "data": json_types(self.data),
            "warnings": list(self.warnings),
            "errors": [problem.as_dict() for problem in self.errors],
        }
        return json.dumps(value, indent=2, ensure_ascii=False)


def json_types(value: Any) -> Any:
    """`value` as JSON can carry it: what YAML has besides becomes text or a list.

    Dates are ISO text, binary values base64, sets lists, and infinity is `inf`; keys that JSON does not know are text.
    """
    if isinstance(value, dict):
        return {key if isinstance(key, _KEYS) else str(json_types(key)): json_types(value[key]) for key in value}
    if isinstance(value, set | frozenset):
        return sorted((json_types(member) for member in value), key=str)
    if isinstance(value, list | tuple):
        return [json_types(member) for member in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def failure(verb: str, error: GatewayError) -> Result:
    """The result of a verb that ended with an error."""
    return Result(verb, error.data, errors=(error.problem,), exit_code=error.exit_code)


def show(problem: Problem) -> str:
    """An error as a person reads it."""
    return f"{problem.code}  {problem.message}\n      Cause: {problem.cause}\n      Next:  {problem.next}"
