from __future__ import annotations

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.exec import become


@verb("exec")
@click.argument("command_line", nargs=-1, required=True, type=click.UNPROCESSED)
def command(call: Call, *, command_line: tuple[str, ...]) -> None:
    """Run a command with this home's .env: llm-gateway exec -- COMMAND."""
    become(call.context({}), command_line)
