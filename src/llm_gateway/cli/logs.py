from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.errors import InputError
from llm_gateway.verbs.status import follow, logs

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("logs")
@click.argument("service", default="")
@click.option("-n", "--lines", default=50, show_default=True, help="How many lines.")
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with new lines until Ctrl-C.")
def command(call: Call, *, service: str, lines: int, following: bool) -> Result | None:
    """Show the logs of one service, or of all."""
    if following and call.json:
        raise InputError(
            "E319",
            "--follow has no end, so it cannot be one JSON document.",
            cause="--json and --follow were given together.",
            next="llm-gateway logs --json --lines 100",
        )
    context = call.context({})
    result = logs(context, service=service, lines=lines)
    if not following:
        return result
    call.show(result)
    for line in follow(context, service=service):
        if line:
            click.echo(line)
        else:
            time.sleep(0.2)  # the file has no new line; there is nothing to probe for
    sys.exit(0)
