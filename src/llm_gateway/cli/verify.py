from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import click

from llm_gateway.cli.app import Call, verb
from llm_gateway.verbs.signals import on_signals
from llm_gateway.verbs.verify import verify, watch

if TYPE_CHECKING:
    from llm_gateway.results import Result


@verb("verify")
@click.argument("capabilities", nargs=-1, metavar="[CAPABILITY]…")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Ask this model; may be given several times.")
@click.option("--deep", is_flag=True, help="Also restart the gateway, and wait for budgets to come back (minutes).")
@click.option("--watch", "watching", is_flag=True, help="Verify again and again until Ctrl-C; show what changes.")
@click.option("--every", type=click.IntRange(5, 3600), default=30, help="Seconds between two rounds of --watch. [30]")
def command(
    call: Call, *, capabilities: tuple[str, ...], models: tuple[str, ...], deep: bool, watching: bool, every: int
) -> Result | None:
    """Prove that every enabled capability does its job, with real calls through the running gateway."""
    context = call.context({})
    if not watching:
        return verify(context, capabilities, deep=deep, only_models=models)
    stopped = threading.Event()
    restore = on_signals(stopped)

    def show(result: Result) -> None:
        call.progress.note(f"\n{time.strftime('%H:%M:%S')}")
        call.show(result)

    try:
        watch(context, capabilities, deep=deep, only_models=models, every=every, stopped=stopped, show=show)
    finally:
        restore()
    return None
