from __future__ import annotations

from typing import TYPE_CHECKING

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.start import stop

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("stop")
def command(call: Call) -> Result:
    """Stop everything of this home. Data and keys stay."""
    return stop(call.context({}))
