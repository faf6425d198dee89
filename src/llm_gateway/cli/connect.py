from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.connect import FORMATS, connect

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("connect")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), default="shell", show_default=True, help="For which tool."
)
def command(call: Call, *, form: str) -> Result:
    """Print base URL and key for a tool: eval "$(llm-gateway connect)" for a shell."""
    return connect(call.context({}), form=form)
