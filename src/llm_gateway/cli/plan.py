from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.cli.app import Call, choice_flags, verb
from llm_gateway.verbs.plan import plan

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("plan")
@choice_flags
def command(call: Call, **flags: Any) -> Result:
    """Show what a start would run where, and why. Changes nothing."""
    return plan(call.context(flags))
