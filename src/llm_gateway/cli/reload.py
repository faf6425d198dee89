from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import click

from llm_gateway.cli.app import Call, choice_flag, verb
from llm_gateway.errors import GatewayError
from llm_gateway.results import failure
from llm_gateway.verbs.reload import CHANGEABLE, reload, watch
from llm_gateway.verbs.signals import on_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_gateway.results import Result


def _changeable(function: Callable[..., Any]) -> Callable[..., Any]:
    for id_ in reversed((*CHANGEABLE, "timeout")):
        function = choice_flag(id_)(function)
    return function


@verb("reload")
@click.option("--config", metavar="FILE", help="Another model config than the running one.")
@_changeable
@click.option("--force", is_flag=True, help="Go on with a config of which lint says that it cannot work, too.")
@click.option("--fresh", is_flag=True, help="Import LiteLLM anew, also when nothing seems to ask for it.")
@click.option("--watch", "watching", is_flag=True, help="Reload whenever the config or .env changes, until Ctrl-C.")
def command(call: Call, *, force: bool, fresh: bool, watching: bool, **flags: Any) -> Result | None:
    """Take over an edited config or .env without a failed request; keep the old one if the new one does not start."""
    context = call.context(flags)
    stopped = threading.Event()
    restore = on_signals(stopped)

    def show(outcome: Result | GatewayError) -> None:
        call.progress.note(f"\n{time.strftime('%H:%M:%S')}")
        call.show(failure("reload", outcome) if isinstance(outcome, GatewayError) else outcome)

    try:
        if not watching:
            return reload(context, interrupted=stopped, force=force, fresh=fresh)
        watch(context, stopped=stopped, show=show, force=force)
    finally:
        restore()
    return None
