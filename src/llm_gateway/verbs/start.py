"""start, stop and restart: from nothing to an answered request, and back."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_gateway import home_files
from llm_gateway.doctor.runner import at_start
from llm_gateway.engines.native import Interrupted, NativeEngine
from llm_gateway.engines.supervisor import Supervisor
from llm_gateway.errors import GatewayError
from llm_gateway.files import write_json
from llm_gateway.model_config import include
from llm_gateway.probes import Deadline
from llm_gateway.results import Result
from llm_gateway.services import wiring
from llm_gateway.verbs import summary
from llm_gateway.verbs.context import (
    changed_choices,
    edited,
    make_stack,
    other_servers,
    record,
    reopen,
    running_record,
    running_stack,
    wanted_stack,
)
from llm_gateway.verbs.lint import refuse_mistakes
from llm_gateway.verbs.locking import call_off, changing
from llm_gateway.verbs.seed import seed_stack

if TYPE_CHECKING:
    import threading

    from llm_gateway.services.base import Stack
    from llm_gateway.verbs.context import Context

_LOOK_EVERY = 0.5  # seconds between looks at the services while in the foreground


@dataclass(frozen=True)
class Started:
    """A started stack, and whether this command started it."""

    stack: Stack
    engine: NativeEngine
    result: Result
    fresh: bool


def start(context: Context, *, interrupted: threading.Event, force: bool = False) -> Started:
    """Bring the stack up, or find it up.

    Args:
        context: home and choices.
        interrupted: set by a signal handler to call the start off.
        force: start with a config of which the lint says that it cannot work, too.

    Raises:
        GatewayError: what failed; everything that was started is stopped again. E316 when another stack runs here.
    """
    timeout = context.choices.number("timeout")
    include.read(context.config)
    context.home.create()
    try:
        with changing(context.home, progress=context.progress, timeout=timeout, interrupted=interrupted):
            home_files.adopt_env(context.home)
            context = reopen(context)
            return _running(context) or _bring_up(context, Deadline(timeout), interrupted, force=force)
    except Interrupted:
        raise GatewayError(
            "E314",
            "The start was interrupted; everything that it had started is stopped.",
            cause="Ctrl-C, or a signal from outside.",
            next="llm-gateway start",
        ) from None


def _bring_up(context: Context, deadline: Deadline, interrupted: threading.Event, *, force: bool) -> Started:
    began = time.monotonic()
    # What a killed start left running is not this start's; its ports are needed.
    Supervisor(context.home).shutdown(first=("gateway",))
    stack = make_stack(context)
    mistakes = refuse_mistakes(stack, progress=context.progress, force=force)
    stack = home_files.write_home(replace(stack, warnings=(*stack.warnings, *mistakes, *wiring.notes(stack))))
    _announce(context, stack)
    engine = NativeEngine(stack, context.progress)
    try:
        _begin_logs(stack)
        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(at_start, stack)  # beside the start, which takes longer
            engine.start(deadline, interrupted=interrupted)
            stack = _with_findings(context, stack, looking.result())
        reports = seed_stack(stack, context.progress) if stack.runs("postgres") else []
        if interrupted.is_set():
            raise Interrupted  # noqa: TRY301 - the roll-back below is the same
    except BaseException:
        engine.stop()
        raise
    write_json(context.home.running_file, record(stack))
    seconds = time.monotonic() - began
    result = summary.started(stack, reports=reports, seconds=seconds)
    return Started(stack, engine, result, fresh=True)


def _with_findings(context: Context, stack: Stack, found: tuple[str, ...]) -> Stack:
    """The stack with what the doctor's checks of a start found: said now, and in the result."""
    for warning in found:
        context.progress.note(f"  ! {warning}")
    return replace(stack, warnings=(*stack.warnings, *found))


def _begin_logs(stack: Stack) -> None:
    """Begin each service's log where this start begins, so that a failure never shows last week's lines."""
    for id_ in stack.placements:
        log = stack.home.log(id_)
        if log.exists():
            log.replace(log.with_suffix(".log.previous"))


def _announce(context: Context, stack: Stack) -> None:
    context.progress.note(f"Home    {stack.home.root}")
    context.progress.note(f"Config  {stack.config}")
    for warning in stack.warnings:
        context.progress.note(f"  ! {warning}")


def _running(context: Context) -> Started | None:
    """The stack that already runs here, if it is the one that is wanted and whole.

    Raises:
        GatewayError: E316, another one runs.
    """
    saved = running_record(context.home)
    engine_alive = Supervisor(context.home).alive()
    if not saved or not engine_alive:
        return None
    different = changed_choices(context.choices, saved)
    different += other_servers(context.environment, saved)
    if str(context.config) != saved["config"]:
        different.insert(0, "config")
    if different:
        raise GatewayError(
            "E316",
            f"This gateway already runs with another {', '.join(different)}.",
            cause=f"It was started with {saved['config']}.",
            next="llm-gateway restart with the new choices (llm-gateway stop ends it)",
        )
    stack = running_stack(context)
    if stack is None:
        return None
    engine = NativeEngine(stack, context.progress)
    broken = [name for name, info in engine.supervisor.states().items() if info["statename"] != "RUNNING"]
    if broken:
        context.progress.note(f"  {', '.join(broken)} had stopped; starting again.")
        engine.stop()
        return None
    warnings = tuple(
        f"{path} was edited since the gateway started; llm-gateway reload takes it over." for path in edited(saved)
    )
    return Started(stack, engine, summary.already_running(stack, warnings=warnings), fresh=False)


def stay(started: Started, context: Context, *, stopped: threading.Event) -> None:
    """Remain in the foreground: report restarts, revive a killed supervisor, stop everything on a signal.

    Args:
        started: what `start` gave.
        context: the same as for `start`.
        stopped: set by the signal handler.
    """
    try:
        _watch(started.engine, context, stopped)
    finally:
        # Also when the services could not be revived: nothing stays half-started.
        if context.home.running_file.exists():
            context.progress.note("Stopping …")
            with changing(context.home, progress=context.progress, timeout=30):
                context.home.running_file.unlink(missing_ok=True)
                started.engine.stop()
            context.progress.note("Stopped. Your data and keys are kept.")


def _watch(engine: NativeEngine, context: Context, stopped: threading.Event) -> None:
    """Look at the services until `stopped` is set or another command stopped them."""
    begun: dict[str, int] = {}
    while not stopped.wait(_LOOK_EVERY):
        if not context.home.running_file.exists():
            context.progress.note("Stopped by another command.")
            return
        states = engine.supervisor.states()
        if not states:
            context.progress.note("  ! The process supervisor is gone; starting the services again.")
            _revive(engine, context, stopped)
        for name, info in states.items():
            if info["statename"] == "RUNNING":
                if begun.get(name, info["start"]) != info["start"]:
                    context.progress.note(f"  ! {name} had ended unexpectedly and was restarted.")
                begun[name] = info["start"]


def _revive(engine: NativeEngine, context: Context, stopped: threading.Event) -> None:
    with (
        contextlib.suppress(Interrupted),
        changing(context.home, progress=context.progress, timeout=60, interrupted=stopped),
    ):
        stack = running_stack(reopen(context))  # a reload may have changed it since
        if stack is not None and not engine.supervisor.alive():
            fresh = NativeEngine(stack, context.progress)
            fresh.start(Deadline(context.choices.number("timeout")), interrupted=stopped)


def stop(context: Context) -> Result:
    """Stop everything of this home; data stays. Fine when nothing runs."""
    if not context.home.state.exists():
        return Result("stop", {"stopped": False}, "Nothing runs here.")
    called_off = call_off(context.home)
    with changing(context.home, progress=context.progress, timeout=60):
        supervisor = Supervisor(context.home)
        was_running = called_off or supervisor.alive() or context.home.running_file.exists()
        context.home.running_file.unlink(missing_ok=True)
        supervisor.shutdown(first=("gateway",))
    text = "Stopped. Your data and keys are kept." if was_running else "Nothing was running."
    return Result("stop", {"stopped": was_running}, text)


def check(context: Context, *, force: bool = False) -> None:
    """Refuse bad choices before a restart stops what runs: the config loads and can work, and the plan holds.

    Raises:
        GatewayError: as `start` would.
    """
    include.read(context.config)
    refuse_mistakes(wanted_stack(context), progress=context.progress, force=force)
