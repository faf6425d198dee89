"""doctor: what is wrong here, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from llm_gateway.doctor.runner import examine
from llm_gateway.errors import Problem
from llm_gateway.results import Result
from llm_gateway.verbs.context import planned_stack, running_stack

if TYPE_CHECKING:
    from llm_gateway.verbs.context import Context


def doctor(context: Context) -> Result:
    """The verb. Exit code 1 when an error was found; warnings alone are fine."""
    stack = running_stack(context) or planned_stack(context)
    diagnoses = examine(stack)
    found = [diagnosis for diagnosis in diagnoses if diagnosis.finding]
    errors = tuple(Problem(d.id, d.finding, d.title, d.next) for d in found if d.severity == "error")
    lines = []
    for diagnosis in diagnoses:
        mark = "ok" if not diagnosis.finding else diagnosis.severity
        lines.append(f"{diagnosis.id}  {mark:<8} {diagnosis.title}")
        if diagnosis.finding:
            lines += [f"      {diagnosis.finding}", f"      Next: {diagnosis.next}"]
    return Result(
        "doctor",
        {"checks": [asdict(diagnosis) for diagnosis in diagnoses]},
        "\n".join(lines),
        warnings=tuple(d.finding for d in found if d.severity == "warning"),
        errors=errors,
        exit_code=1 if errors else 0,
    )
