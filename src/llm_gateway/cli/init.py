from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_gateway.cli.app import Call, choice_flags, verb
from llm_gateway.verbs.plan import init

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("init")
@choice_flags
def command(call: Call, **flags: Any) -> Result:
    """Write the home: .env with its secrets, the choices, the configs. Starts nothing."""
    return init(call.context(flags))
