from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_gateway.cli.app import Call, choice_flags, verb
from llm_gateway.cli.start import run
from llm_gateway.verbs.start import check, stop

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("restart")
@choice_flags
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, as start does.")
@click.option("--force", is_flag=True, help="Start with a config of which lint says that it cannot work, too.")
def command(call: Call, *, foreground: bool, force: bool, **flags: Any) -> Result | None:
    """Stop, then start with the remembered choices and those given here."""
    context = call.context(flags)
    check(context, force=force)
    stop(context)
    return run(call, context, detach=not foreground, force=force)
