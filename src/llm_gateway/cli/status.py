from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.status import status

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("status")
def command(call: Call) -> Result:
    """Show what runs. Exit code 1 when something that should run does not."""
    return status(call.context({}))
