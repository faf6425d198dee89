from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.errors import GatewayError
from llm_gateway.verbs.down import data_of, down

if TYPE_CHECKING:
    from llm_gateway.results import Result


def _confirmed(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, or nobody there to answer
        return False


@verb("down")
@click.option("--volumes", is_flag=True, help="Delete the data of this home too: database and cache.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(call: Call, *, volumes: bool, yes: bool) -> Result:
    """Stop everything; with --volumes delete this home's data after asking."""
    context = call.context({})
    if volumes and not yes:
        listed = "\n".join(f"  {path}" for path in data_of(context))
        if call.json or not _confirmed(f"This deletes for ever:\n{listed}\nGo on?"):
            raise GatewayError(
                "E318",
                "Nothing was stopped or deleted.",
                cause="Deleting data needs a yes.",
                next="llm-gateway down --volumes --yes",
            )
    return down(context, volumes=volumes)
