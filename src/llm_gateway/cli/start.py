from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import click

from llm_gateway.cli.app import Call, choice_flags, verb
from llm_gateway.verbs.start import on_signals, start, stay

if TYPE_CHECKING:
    from llm_gateway.results import Result
    from llm_gateway.verbs.context import Context


@verb("start")
@choice_flags
@click.option("--detach", is_flag=True, help="Return when ready, and leave everything running.")
@click.option("--force", is_flag=True, help="Start with a config of which lint says that it cannot work, too.")
def command(call: Call, *, detach: bool, force: bool, **flags: Any) -> Result | None:
    """Start the gateway and its services; stay in the foreground until Ctrl-C."""
    return run(call, call.context(flags), detach=detach, force=force)


def run(call: Call, context: Context, *, detach: bool, force: bool) -> Result | None:
    """Start, show the summary, and stay unless told to detach or the stack was already up."""
    interrupted = threading.Event()
    restore = on_signals(interrupted)
    try:
        started = start(context, interrupted=interrupted, force=force)
        if detach or not started.fresh:
            return started.result
        call.show(started.result)
        call.progress.note("\nRunning in the foreground. Ctrl-C stops everything; --detach would leave it running.")
        stay(started, context, stopped=interrupted)
    finally:
        restore()
    return None
