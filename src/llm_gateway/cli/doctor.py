from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.doctor import doctor

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("doctor")
def command(call: Call) -> Result:
    """Look for what is wrong here, and say what to do."""
    return doctor(call.context({}))
